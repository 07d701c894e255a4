"""The network's functions as ONNX graphs, in operators that TensorRT's parser takes, the precision in their types."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.labels import space
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.features import feature_shapes, frame_names, memory_names, written_back_names
from t2g_ros.model.scores import label_values
from t2g_ros.model.time2general import Time2General
from t2g_ros.runtimes.graphs import EncodeGraph, ScoresGraph, example_inputs

try:
    import onnx
    from onnx import helper, numpy_helper, shape_inference
    from onnx.reference import ReferenceEvaluator
except ImportError as error:
    raise RuntimeUnavailable(f"onnx: cannot be imported ({error}); pip install 't2g_ros[onnx]'") from error

OPSET = 17
"""The oldest that has LayerNormalization; TensorRT 10 takes up to 20."""
TYPES = {"f32": torch.float32, "bf16": torch.float16, "f16": torch.float16}
"""What is traced; torch's exporter fails at bf16, so that becomes of f16 (`_to_bf16`)."""
INSIDE_BYTES = 2**31 - 2**26
"""Weights of more than this lie beside their graph: protobuf allows 2 GiB."""
SMALL = 1024
"""Elements of what may be a shape, and is needed to infer others."""


def write_graphs(weights: Path, config: ModelConfig, names: Sequence[str], folder: Path, precision: str) -> None:
    """Write `<name>.onnx` for graphs of `graphs.GRAPHS`, with their weights inside; large ones in `<name>.onnx.data`.

    Args:
        weights: of the network.
        config: with the input size.
        names: of the graphs.
        folder: where to.
        precision: one of `TYPES`, the type of features. Lower ones are mixed as `TorchRuntime` does it: norms, softmax
            and the scores stay in f32.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    network = load_model(weights)
    network.config = config
    for name in names:
        model = _exported(network, name, TYPES[precision], folder)
        if precision == "bf16":
            _to_bf16(model)
        _fold(model)
        properties = {
            "model": config.name,
            "labels": json.dumps(space(config.labels).to_json()),
            "input_size": json.dumps(list(config.input_size)),
            "slots": str(config.slots),
            "precision": precision,
        }
        helper.set_model_props(model, properties)
        path, beside = folder / f"{name}.onnx", folder / f"{name}.onnx.data"
        beside.unlink(missing_ok=True)  # of an earlier export, to which weights would be appended
        if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > INSIDE_BYTES:
            onnx.save(model, path, save_as_external_data=True, location=beside.name, size_threshold=SMALL)
        else:
            path.write_bytes(model.SerializeToString(deterministic=True))
        # ONNX lets convolutions be bf16 from opset 22 on only; TensorRT takes them in any.
        onnx.checker.check_model(path, full_check=precision != "bf16")


def input_names(config: ModelConfig, name: str) -> list[str]:
    """Names of a graph's inputs, in order."""
    return ["rgb"] if name == "encode" else [*frame_names(config), *memory_names(config), "offsets_s", "valid"]


def output_names(config: ModelConfig, name: str) -> list[str]:
    """Names of a graph's outputs, in order."""
    if name == "decode":
        return ["labels", "confidence", *written_back_names(config)]
    return ["scores"] if name == "scores" else list(feature_shapes(config))


class _Typed(nn.Module):
    """One of `graphs.GRAPHS` in a precision, with the casts of uint8 where TensorRT wants them."""

    def __init__(self, network: Time2General, name: str, element: torch.dtype) -> None:
        super().__init__()
        self.graph = EncodeGraph(network) if name == "encode" else ScoresGraph(network, whole=name == "decode")
        self.name = name
        self.element = element

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        # uint8 may only be an input that becomes a float at once, or an output that was one just before.
        floats = [a.float() if a.dtype == torch.uint8 else a for a in arguments]
        with torch.autocast("cpu", self.element, enabled=self.element != torch.float32, cache_enabled=False):
            found = self.graph(*floats)
        if self.name == "encode":
            return tuple(_cast(feature, self.element) for feature in found)
        scores = _cast(found[0], torch.float32)
        if self.name == "scores":
            return (scores,)
        shown = (_cast(values, torch.float32).to(torch.uint8) for values in label_values(scores))
        return *shown, *(_cast(feature, self.element) for feature in found[1:])


def _cast(tensor: Tensor, element: torch.dtype) -> Tensor:
    # A cast to what a tensor is already would be in the graph, too.
    return tensor if tensor.dtype == element else tensor.to(element)


def _exported(network: Time2General, name: str, element: torch.dtype, folder: Path) -> onnx.ModelProto:
    # Features come in the type that they are kept in; rgb is uint8, and the two inputs about time are always f32.
    example = example_inputs(network, name)
    if name != "encode":
        example = (*(tensor.to(element) for tensor in example[:-2]), *example[-2:])
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # attention as one operation of torch, which ONNX knows not
    try:
        with torch.no_grad(), warnings.catch_warnings(), TemporaryDirectory(dir=folder) as scratch:
            # That sizes become constants is what is wanted. Of torch's exporters the one that traces needs less time,
            # and fewer packages; what its graphs hold too much `_fold` takes away.
            warnings.simplefilter("ignore")
            # A file, for weights of more than 2 GiB: those are then put beside it.
            file = Path(scratch) / "traced.onnx"
            torch.onnx.export(
                _Typed(network, name, element).eval(),
                example,
                file,
                dynamo=False,
                opset_version=OPSET,
                do_constant_folding=False,  # done by `_fold`, further
                input_names=input_names(network.config, name),
                output_names=output_names(network.config, name),
            )
            return onnx.load(file)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _to_bf16(model: onnx.ModelProto) -> None:
    """Make what is f16 in a graph bf16. Its weights are f32 still, and cast in it."""
    f16, bf16 = onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
    graph = model.graph
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type == f16:
            value.type.tensor_type.elem_type = bf16
    constants = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == f16:
                attribute.i = bf16
            if attribute.type == onnx.AttributeProto.TENSOR:
                constants.append(attribute.t)
    for tensor in constants:
        if tensor.data_type == f16:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(helper.make_tensor(tensor.name, bf16, wide.shape, wide.flatten()))


def _fold(model: onnx.ModelProto) -> None:
    """Replace what depends on no input by its value; since a graph is of one size, that goes for all shapes."""
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    before = -1
    while before != len(graph.node):  # shapes that became constants let more be known
        before = len(graph.node)
        inferred = shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
        known = [*inferred.value_info, *inferred.input, *inferred.output]
        sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}
        kept = []
        for node in graph.node:
            size = sizes.get(node.input[0]) if node.op_type == "Shape" else None
            if size and all(size):
                values |= _evaluate(node, {node.input[0]: np.broadcast_to(np.float32(0), size)})
            elif all(name in values for name in node.input if name):
                values |= _evaluate(node, {name: values[name] for name in node.input if name})
            else:
                kept.append(node)
        _set_nodes(graph, kept, values)


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large constants as inputs, of which only the shape is known."""
    graph = model.graph
    small = [tensor for tensor in graph.initializer if np.prod(tensor.dims) <= SMALL]
    large = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if np.prod(tensor.dims) > SMALL
    ]
    bare = helper.make_graph(graph.node, graph.name, [*graph.input, *large], graph.output, small)
    return helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)


def _evaluate(node: onnx.NodeProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = ReferenceEvaluator(node, opsets={"": OPSET}).run(None, inputs)
    return {name: np.asarray(value) for name, value in zip(node.output, found, strict=True)}


def _set_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], values: dict[str, np.ndarray]) -> None:
    """Make a graph consist of these nodes, and of the values that they use."""
    used = dict.fromkeys(name for node in nodes for name in node.input if name in values)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    for field in (graph.node, graph.initializer, graph.value_info):
        del field[:]
    graph.node.extend(copies)
    graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in used)
