"""The encoder in int8 as an ONNX graph, quantized as TensorRT wants it: explicitly, by QuantizeLinear and its inverse.

TensorRT takes signed numbers without a zero point only, and one scale for all channels of an activation.
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
from t2g_ros.runtimes import int8

if TYPE_CHECKING:
    import onnx

LINEAR = ("QuantizeLinear", "DequantizeLinear")


def quantize(encode: Path, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Return the graph `encode` with the modules `int8.QUANTIZED` in int8.

    Args:
        encode: its file, in f32, as it was exported.
        images: see `int8.quantize`.

    Raises:
        RuntimeUnavailable: NNCF is not installed.
    """
    import onnx

    nncf = int8.library()
    from nncf.quantization.advanced_parameters import QuantizationParameters

    graph = onnx.load(encode)
    nodes = graph.graph.node
    kept = {
        "names": [node.name for node in nodes if node.op_type == "Conv" and not _is_quantized(node)],
        # Sums and small products between convolutions gain nothing, and cost 0.8 points of mIoU.
        "types": sorted({node.op_type for node in nodes} - {"Conv"}),
        "validate": False,  # NNCF knows no name for what is none to it, such as a cast
    }
    per_tensor = QuantizationParameters(per_channel=False)
    # With fast bias correction: NNCF's accurate one fails at these graphs.
    graph = int8.quantize(
        graph,
        images,
        lambda rgb: {"rgb": rgb[None]},
        kept,
        preset=nncf.QuantizationPreset.PERFORMANCE,
        advanced_parameters=nncf.AdvancedQuantizationParameters(activations_quantization_params=per_tensor),
    )
    _make_signed(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _is_quantized(node: onnx.NodeProto) -> bool:
    """Whether an operation is of these modules; one of `pixel_decoder.smooth.4` is /graph/pixel_decoder/smooth.4/..."""
    module = node.name.removeprefix("/graph/")
    return module.startswith(tuple(begin.removesuffix(".").replace(".", "/", 1) + "/" for begin in int8.QUANTIZED))


def _make_signed(graph: onnx.ModelProto) -> None:
    """Bring activations that are quantized to 0..255 to 0..127, in int8."""
    from onnx import numpy_helper

    values = {tensor.name: tensor for tensor in graph.graph.initializer}
    scales, zeros = set(), set()
    for node in graph.graph.node:
        if node.op_type in LINEAR and numpy_helper.to_array(values[node.input[2]]).dtype == np.uint8:
            scales.add(node.input[1])
            zeros.add(node.input[2])
    for name in scales:
        wider = numpy_helper.to_array(values[name]) * np.float32(255 / 127)
        values[name].CopyFrom(numpy_helper.from_array(wider, name))
    for name in zeros:
        signed = numpy_helper.to_array(values[name]).astype(np.int8)
        values[name].CopyFrom(numpy_helper.from_array(signed, name))
    del graph.graph.value_info[:]  # which still says uint8


def write(graph: onnx.ModelProto, weights: Path, config: ModelConfig) -> Path:
    """Put a graph that `quantize` gave beside its weights, in place of an older one.

    Raises:
        T2GError: it cannot be written there.
    """
    from onnx import helper

    properties = {entry.key: entry.value for entry in graph.metadata_props}
    helper.set_model_props(graph, properties | {"precision": "int8", int8.INFO: int8.made_of(weights, config)})
    file = int8.graph_file(weights, config.input_size, "onnx")
    try:
        with TemporaryDirectory(dir=file.parent, prefix=f".{file.stem}-") as scratch:
            made = Path(scratch) / file.name
            made.write_bytes(graph.SerializeToString(deterministic=True))
            os.replace(made, file)
    except OSError as error:
        raise T2GError(f"{file}: cannot be written ({error}); copy the weights to a folder of your own") from error
    return file


def file_of(weights: Path, config: ModelConfig) -> Path:
    """The file of the graph `encode` of a network, quantized before.

    Raises:
        RuntimeUnavailable: there is none for this input size, or it is not of these weights and this version.
    """
    file = int8.found(weights, config, "onnx")
    # The hash is text in the file's last field, so this needs no ONNX, and finds files that were cut off.
    if int8.made_of(weights, config).encode() not in file.read_bytes():
        raise RuntimeUnavailable(
            f"precision int8: {file}: is damaged, or was quantized from other weights than {weights.name} or by "
            f"another version; {int8.command(weights, config, 'onnx')}"
        )
    return file
