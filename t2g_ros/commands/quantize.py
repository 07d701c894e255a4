"""`t2g quantize`: the encoder in int8, for OpenVINO on CPUs, or for TensorRT."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from t2g_ros.commands.arguments import (
    DEFAULT_MODEL,
    SOURCE_KINDS,
    add_source_arguments,
    input_size,
    positive_int,
    source_from,
    tell_losses,
)

if TYPE_CHECKING:
    import numpy as np

IMAGES = 80
"""Twice as many of two data sets gave the same mIoU, within 0.1."""
FIRST_SEED = 1000
"""Of the drives that training renders, too."""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "quantize",
        help="make a model ready for precision int8",
        description="Takes the ranges of the encoder's activations from images, and puts the encoder in int8 "
        "beside the weights, where `precision: int8` of the node and --precision int8 find it. Without a "
        "source the images are rendered. Best are images of the cameras and roads that the model is for, and none "
        "that it is evaluated on.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="shipped model or .safetensors file")
    parser.add_argument(
        "--runtime",
        default="openvino",
        choices=("openvino", "onnx", "tensorrt"),
        help="whose format; that of onnx and tensorrt is one (default: openvino)",
    )
    parser.add_argument(
        "--input-size", type=input_size, metavar="HxW", help="multiples of 64, instead of the model's own"
    )
    parser.add_argument("--images", type=positive_int, default=IMAGES, metavar="N", help="at least so many, if there")
    add_source_arguments(parser, required=False)
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the graph beside the weights."""
    from t2g_ros.runtimes import int8
    from t2g_ros.runtimes.converted import find_network

    int8.library()  # before minutes go into images
    if args.runtime == "openvino":
        from t2g_ros.runtimes import int8_openvino, openvino
    else:
        from t2g_ros.runtimes import int8_onnx, onnx_graphs, onnxruntime  # noqa: F401 (with which NNCF computes)
    weights, config = find_network(args.model, args.input_size)
    given = any(getattr(args, kind) is not None for kind in SOURCE_KINDS)
    images = (recorded if given else rendered)(args, config.input_size)
    with TemporaryDirectory(prefix="t2g_ros-") as scratch:
        if args.runtime == "openvino":
            openvino.write_graphs(weights, config, ("encode",), Path(scratch))
            encode = int8_openvino.quantize(openvino.shared_core(), Path(scratch) / "encode.xml", images)
            file = int8_openvino.write(encode, weights, config)
        else:
            onnx_graphs.write_graphs(weights, config, ("encode",), Path(scratch), "f32")
            file = int8_onnx.write(int8_onnx.quantize(Path(scratch) / "encode.onnx", images), weights, config)
    print(f"{file}: {config.name} in int8, by {len(images)} images; t2g evaluate --precision int8 tells what it keeps")
    return 0


def recorded(args: argparse.Namespace, size: tuple[int, int]) -> list[np.ndarray]:
    """From `--images` to twice as many images of the source that the arguments name, evenly spaced.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    from t2g_ros.errors import InputError
    from t2g_ros.inference.scaling import to_input

    kept: list[np.ndarray] = []
    every = 1
    source = source_from(args)
    for index, item in enumerate(source):
        if index % every == 0:
            kept.append(to_input(item.frame.rgb, size))
        if len(kept) == 2 * args.images:
            kept, every = kept[::2], 2 * every
    tell_losses(source)
    if not kept:
        raise InputError(f"{source.path}: holds no frame")
    return kept


def rendered(args: argparse.Namespace, size: tuple[int, int]) -> list[np.ndarray]:
    """`--images` images of rendered drives in all weather."""
    from tqdm import tqdm

    from t2g_ros.training.synthetic import STYLES, Drive

    return [
        Drive(FIRST_SEED + k, STYLES[k % len(STYLES)], size).render(float(k % 7))[0]
        for k in tqdm(range(args.images), desc="quantize: rendering", unit="frame", disable=None)
    ]
