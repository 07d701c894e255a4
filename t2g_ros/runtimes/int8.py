"""The encoder in int8, for the OpenVINO engine: `t2g quantize` makes the graph and puts it beside the weights.

NNCF's post-training quantization with accurate bias correction, of the convolutions that take the time: the backbone,
the finest level of the pixel decoder and what the pixel memory keeps of a frame. The coarse levels, which say what
things are, and the stability queries keep their arithmetic: in int8 they cost masks and save nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from t2g_ros.errors import RuntimeUnavailable, T2GError
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.files import sha256

if TYPE_CHECKING:
    import openvino as ov

QUANTIZED = ("encoder.", "pixel_decoder.lateral.4", "pixel_decoder.smooth.4", "pixel_memory.")
"""Modules of the network, by how their names begin."""
PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")
INFO = ["t2g_ros", "weights_sha256"]


def graph_file(weights: Path, config: ModelConfig) -> Path:
    """Where the graph of a network at an input size lies; its weights are beside it, `.bin`."""
    height, width = config.input_size
    return weights.with_name(f"{weights.stem}.int8_{width}x{height}.xml")


def files(weights: Path, config: ModelConfig) -> list[Path]:
    """All that the graph consists of.

    Raises:
        RuntimeUnavailable: a file of it is missing.
    """
    graph = graph_file(weights, config)
    for file in (found := [graph, graph.with_suffix(".bin")]):
        if not file.is_file():
            raise RuntimeUnavailable(
                f"precision int8: {file}: no such file, expected the quantized graph{_how(weights, config)}"
            )
    return found


def quantize(encode: Path, images: Sequence[np.ndarray]) -> ov.Model:
    """Return the graph `encode` with the modules `QUANTIZED` in int8.

    Args:
        encode: its file, in f32, as it was converted.
        images: (h, w, 3) uint8 RGB of the input size; what the ranges of the activations are taken from.

    Raises:
        RuntimeUnavailable: NNCF is not installed.
    """
    from t2g_ros.runtimes.openvino import shared_core

    try:
        import nncf
    except ImportError as error:
        raise RuntimeUnavailable(
            f"quantization: NNCF cannot be imported ({error}); pip install 't2g_ros[int8]'"
        ) from error
    graph = shared_core().read_model(encode)
    products = [op for op in graph.get_ops() if op.get_type_name() in PRODUCTS]
    kept = [op.get_friendly_name() for op in products if not module_of(op).startswith(QUANTIZED)]
    return nncf.quantize(
        graph,
        nncf.Dataset(list(images), lambda rgb: rgb[None]),
        preset=nncf.QuantizationPreset.MIXED,  # activations of both signs have a zero point of their own
        subset_size=len(images),
        fast_bias_correction=False,
        ignored_scope=nncf.IgnoredScope(names=kept),
    )


def module_of(op: ov.Node) -> str:
    """The module of the network that an operation is of, such as `encoder.stem.0/...`.

    What was fused while converting has lost its name; it belongs to what it works on.
    """
    while not (found := op.get_friendly_name().partition("network.")[2]) and op.get_input_size():
        op = op.input_value(0).get_node()
    return found


def write(graph: ov.Model, weights: Path, config: ModelConfig) -> Path:
    """Put a graph that `quantize` gave beside its weights, in place of an older one.

    Raises:
        T2GError: it cannot be written there.
    """
    import openvino as ov

    graph.set_rt_info(sha256(weights).hex(), INFO)
    file = graph_file(weights, config)
    try:
        with TemporaryDirectory(dir=file.parent, prefix=f".{file.stem}-") as scratch:
            made = Path(scratch) / file.name
            ov.save_model(graph, made, compress_to_fp16=False)
            for suffix in (".bin", ".xml"):
                os.replace(made.with_suffix(suffix), file.with_suffix(suffix))
    except (OSError, RuntimeError) as error:  # RuntimeError: of OpenVINO's writer, on a full disk
        raise T2GError(f"{file}: cannot be written ({error}); copy the weights to a folder of your own") from error
    return file


def read(core: ov.Core, weights: Path, config: ModelConfig) -> ov.Model:
    """The graph `encode` of a network, quantized before.

    Raises:
        RuntimeUnavailable: there is none for this input size, or it is of other weights, or it cannot be read.
    """
    file, how = files(weights, config)[0], _how(weights, config)
    try:
        graph = core.read_model(file)
        made_of = graph.get_rt_info(INFO).astype(str)
    except RuntimeError as error:
        found = " ".join(str(error).split())
        raise RuntimeUnavailable(f"precision int8: {file}: cannot be read ({found}){how}") from error
    if made_of != sha256(weights).hex():
        raise RuntimeUnavailable(f"precision int8: {file}: was quantized from other weights than {weights.name}{how}")
    return graph


def _how(weights: Path, config: ModelConfig) -> str:
    height, width = config.input_size
    return f"; run t2g quantize --model {weights} --input-size {height}x{width}"
