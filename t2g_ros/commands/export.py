"""`t2g export`: the network's functions as graphs that other programs can run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from t2g_ros import __version__
from t2g_ros.commands.arguments import DEFAULT_MODEL, input_size
from t2g_ros.errors import RuntimeUnavailable, T2GError
from t2g_ros.model.files import sha256

if TYPE_CHECKING:
    from t2g_ros.model.config import ModelConfig

GRAPHS: tuple[str, ...] = ("encode", "decode")
PRECISIONS = dict.fromkeys(("onnx", "tensorrt"), ("f32", "f16", "bf16", "int8")) | {"openvino": ("f32",)}
"""What the graphs of a runtime can be in. OpenVINO takes the precision when it compiles one."""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "export",
        help="write the network as graphs for other programs",
        description="Writes the graphs encode (once per frame) and decode (once per mask), and model.json, which says "
        "what goes in and comes out and what the classes are. The memory stays with the caller: buffers of `slots` "
        "frames, into whose slots the features of encode are put, and after each decode what `replaces` one of them. "
        "Files of the same names are replaced.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="shipped model or .safetensors file")
    parser.add_argument("--runtime", required=True, choices=tuple(PRECISIONS), help="whose format")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--precision", default="f32", choices=PRECISIONS["onnx"], help="types in the graphs")
    parser.add_argument(
        "--input-size", type=input_size, metavar="HxW", help="multiples of 64, instead of the model's own"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the graphs and their description."""
    from t2g_ros.runtimes.converted import find_network

    if args.precision not in PRECISIONS[args.runtime]:
        raise RuntimeUnavailable(
            f"--precision {args.precision}: runtime {args.runtime} is exported in "
            f"{', '.join(PRECISIONS[args.runtime])} only; it takes others when it compiles the graphs"
        )
    weights, config = find_network(args.model, args.input_size)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if args.runtime == "openvino":
            from t2g_ros.runtimes.openvino import write_graphs as write_openvino

            write_openvino(weights, config, GRAPHS, args.out)
        elif args.runtime == "tensorrt":
            from t2g_ros.runtimes.tensorrt import write_engines

            args.precision = write_engines(weights, config, GRAPHS, args.out, args.precision)
        else:
            _write_onnx(weights, config, args.out, args.precision)
        record = describe(weights, config, args.runtime, args.precision)
        (args.out / "model.json").write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise T2GError(f"output {args.out}: cannot be written ({error})") from error
    print(f"{', '.join(GRAPHS)} and model.json of {config.name} in {args.out}")
    return 0


def _write_onnx(weights: Path, config: ModelConfig, out: Path, precision: str) -> None:
    from t2g_ros.runtimes import int8, int8_onnx
    from t2g_ros.runtimes.onnx_graphs import write_graphs

    names = GRAPHS
    if precision == "int8":
        copyfile(int8_onnx.file_of(weights, config), out / "encode.onnx")
        (out / "encode.onnx.data").unlink(missing_ok=True)  # of an earlier export
        names = ("decode",)
    write_graphs(weights, config, names, out, int8.floats_of(precision))


def describe(weights: Path, config: ModelConfig, runtime: str, precision: str) -> dict[str, Any]:
    """What a program must know to run the graphs: names, shapes and types in order, and where the slots lie."""
    from t2g_ros.labels import space
    from t2g_ros.model.features import feature_shapes, frame_names, memory_names, written_back_names
    from t2g_ros.runtimes.base import SLOT_AXIS, buffer_shape
    from t2g_ros.runtimes.int8 import floats_of

    height, width = config.input_size
    shapes = feature_shapes(config)
    floats = floats_of(precision)

    def tensor(name: str, shape: tuple[int, ...], element: str) -> dict[str, Any]:
        return {"name": name, "shape": [1, *shape], "type": element}

    frame = [tensor(name, shapes[name], floats) for name in frame_names(config)]
    memory = [
        {
            **tensor(name, buffer_shape(name, shapes[name], config.slots)[1:], floats),
            "slot_axis": SLOT_AXIS.get(name, 1),
        }
        for name in memory_names(config)
    ]
    times = [tensor(name, (config.slots,), "f32") for name in ("offsets_s", "valid")]
    return {
        "t2g_ros": __version__,
        "model": config.name,
        "weights_sha256": sha256(weights).hex(),
        "runtime": runtime,
        "precision": precision,
        "versions": _versions(runtime),
        "input_size": [height, width],
        "slots": config.slots,
        "labels": space(config.labels).to_json(),
        "encode": {
            "inputs": [tensor("rgb", (height, width, 3), "u8")],
            "outputs": [tensor(name, shape, floats) for name, shape in shapes.items()],
        },
        "decode": {
            "inputs": [*frame, *memory, *times],
            "outputs": [
                tensor("labels", (height // 2, width // 2), "u8"),
                tensor("confidence", (height // 4, width // 4), "u8"),
                *(
                    {**tensor(output, shapes[name], floats), "replaces": name}
                    for output, name in written_back_names(config).items()
                ),
            ],
        },
    }


def _versions(runtime: str) -> dict[str, str]:
    from importlib import import_module

    # Asked of the modules, since wheels have several names, and JetPack's TensorRT may have none.
    return {package: str(import_module(package).__version__) for package in ("torch", runtime)}
