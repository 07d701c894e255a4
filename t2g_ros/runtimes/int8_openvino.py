"""The encoder in int8 for the OpenVINO engine, with NNCF's accurate bias correction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino as ov

from t2g_ros.errors import RuntimeUnavailable, T2GError
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes import int8

PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")
RT_INFO = ["t2g_ros", int8.INFO]


def quantize(core: ov.Core, encode: Path, images: Sequence[np.ndarray]) -> ov.Model:
    """Return the graph `encode` with the modules `int8.QUANTIZED` in int8.

    Args:
        core: OpenVINO.
        encode: its file, in f32, as it was converted.
        images: see `int8.quantize`.

    Raises:
        RuntimeUnavailable: NNCF is not installed.
    """
    graph = core.read_model(encode)
    products = [op for op in graph.get_ops() if op.get_type_name() in PRODUCTS]
    kept = [op.get_friendly_name() for op in products if not module_of(op).startswith(int8.QUANTIZED)]
    # Activations of both signs have a zero point of their own.
    mixed = int8.library().QuantizationPreset.MIXED
    return int8.quantize(
        graph, images, lambda rgb: rgb[None], {"names": kept}, preset=mixed, fast_bias_correction=False
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
    graph.set_rt_info(int8.made_of(weights, config), RT_INFO)
    file = int8.graph_file(weights, config.input_size, "openvino")
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
        RuntimeUnavailable: there is none for this input size, or it is of other weights or another version, or it can
            not be read.
    """
    file, how = int8.found(weights, config, "openvino"), int8.command(weights, config, "openvino")
    try:
        graph = core.read_model(file)
        made_of = graph.get_rt_info(RT_INFO).astype(str) if graph.has_rt_info(RT_INFO) else ""
    except RuntimeError as error:
        found = " ".join(str(error).split())
        raise RuntimeUnavailable(f"precision int8: {file}: cannot be read ({found}); {how}") from error
    if made_of != int8.made_of(weights, config):
        raise RuntimeUnavailable(
            f"precision int8: {file}: was quantized from other weights than {weights.name} or by another version; {how}"
        )
    return graph
