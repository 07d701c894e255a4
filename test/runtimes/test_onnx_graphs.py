"""The ONNX graphs are of operators that TensorRT takes, say what they are, and compute what torch computes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes.graphs import GRAPHS, example_inputs

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
OPERATORS = (Path(__file__).parent / "tensorrt_operators.txt").read_text().splitlines()[1:]
SIZE = (64, 128)
Export = Callable[..., "onnx.ModelProto"]


def config_of(model: Path) -> ModelConfig:
    return replace(ModelConfig.load(model.with_suffix(".yaml")), input_size=SIZE)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Export one graph of a model, each only once."""
    from t2g_ros.runtimes.onnx_graphs import write_graphs

    done: dict[tuple, Path] = {}

    def written(model: Path, name: str, precision: str = "f32") -> "onnx.ModelProto":
        if (model, name, precision) not in done:
            folder = tmp_path_factory.mktemp("graphs")
            write_graphs(model, config_of(model), [name], folder, precision)
            done[model, name, precision] = folder / f"{name}.onnx"
        return onnx.load(done[model, name, precision])

    return written


def tensor_types(values: "list[onnx.ValueInfoProto]") -> dict[str, str]:
    return {v.name: onnx.TensorProto.DataType.Name(v.type.tensor_type.elem_type) for v in values}


@pytest.mark.parametrize(
    ("model", "precision"),
    [("write_back_model", "f32"), ("write_back_model", "f16"), ("write_back_model", "bf16"), ("large_model", "f32")],
)
@pytest.mark.parametrize("name", GRAPHS)
def test_tensorrt_takes_every_operator(
    export: Export, request: pytest.FixtureRequest, model: str, precision: str, name: str
) -> None:
    graph = export(request.getfixturevalue(model), name, precision)
    assert {(entry.domain, entry.version) for entry in graph.opset_import} == {("", 17)}
    assert {node.op_type for node in graph.graph.node} <= set(OPERATORS)
    # Sizes are constants: nothing asks for a shape while it runs.
    assert not {"Shape", "ConstantOfShape", "Range", "Constant"} & {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_uint8_is_cast_from_and_to_floats_at_the_edge(export: Export, random_model: Path, name: str) -> None:
    graph = export(random_model, name).graph
    types = tensor_types([*graph.input, *graph.output])
    edge = {name for name, kind in types.items() if kind == "UINT8"}
    assert edge == ({"rgb"} if name == "encode" else {"labels", "confidence"})
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if "rgb" in node.input:
            assert (node.op_type, node.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT)
    inferred = onnx.shape_inference.infer_shapes(export(random_model, name)).graph
    inner = tensor_types(list(inferred.value_info))
    assert "UINT8" not in inner.values()
    for output in edge - {"rgb"}:
        assert makers[output].op_type == "Cast"
        assert inner[makers[output].input[0]] == "FLOAT"


def test_what_is_written_back_has_a_name_and_the_type_of_what_it_replaces(
    export: Export, write_back_model: Path
) -> None:
    for precision, kind in (("f32", "FLOAT"), ("f16", "FLOAT16"), ("bf16", "BFLOAT16")):
        graph = export(write_back_model, "decode", precision).graph
        types = tensor_types([*graph.input, *graph.output])
        assert [o.name for o in graph.output] == ["labels", "confidence", "pixel_values_after"]
        assert types["pixel_values_after"] == types["pixel_values"] == kind


def test_a_graph_says_what_it_is(export: Export, random_model: Path) -> None:
    decode = export(random_model, "decode")
    names = [
        "mask_features",
        "pixel_queries",
        "pixel_present",
        "keys",
        "values",
        "queries",
        "pixel_keys",
        "pixel_values",
    ]
    assert [i.name for i in decode.graph.input] == [*names, "offsets_s", "valid"]
    assert [o.name for o in decode.graph.output] == ["labels", "confidence"]
    encode = export(random_model, "encode")
    assert [o.name for o in encode.graph.output] == names
    properties = {p.key: p.value for p in encode.metadata_props}
    assert properties.pop("labels").startswith('{"name": "cityscapes19"')
    assert properties == {"model": "tiny_test", "input_size": "[64, 128]", "slots": "5", "precision": "f32"}
    assert str(Path(__file__).parents[2]).encode() not in encode.SerializeToString()


def test_the_same_network_gives_the_same_bytes(export: Export, random_model: Path, tmp_path: Path) -> None:
    from t2g_ros.runtimes.onnx_graphs import write_graphs

    write_graphs(random_model, config_of(random_model), ["decode"], tmp_path, "f32")
    expected = export(random_model, "decode").SerializeToString(deterministic=True)
    assert (tmp_path / "decode.onnx").read_bytes() == expected


def features(network: torch.nn.Module, name: str) -> tuple[torch.Tensor, ...]:
    """Inputs of a graph as they come, random."""
    torch.manual_seed(0)
    example = example_inputs(network, name)
    if name == "encode":
        return (torch.randint(0, 256, example[0].shape, dtype=torch.uint8),)
    return (*(torch.randn_like(t) for t in example[:-2]), torch.tensor([[-0.4, -0.3, -0.2, -0.1, 0.0]]), example[-1])


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-4), ("f16", 2e-2)])
@pytest.mark.parametrize("name", ["encode", "scores"])
def test_a_graph_computes_what_torch_computes(
    export: Export, random_model: Path, name: str, precision: str, tolerance: float
) -> None:
    network = load_model(random_model)
    network.config = config_of(random_model)
    inputs = features(network, name)
    with torch.no_grad():
        expected = GRAPHS[name](network)(*inputs)
    graph = export(random_model, name, precision)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    types = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(uint8)": np.uint8}
    feeds = {i.name: t.numpy().astype(types[i.type]) for i, t in zip(session.get_inputs(), inputs, strict=True)}
    found = session.run(None, feeds)
    kind = {"f32": np.float32, "f16": np.float16}[precision if name == "encode" else "f32"]
    for values, wanted in zip(found, expected, strict=True):
        assert values.dtype == kind
        off = np.abs(values.astype(np.float32) - wanted.numpy()).max()
        assert off <= tolerance * np.abs(wanted.numpy()).max()


def test_bf16_is_in_the_types(export: Export, random_model: Path) -> None:
    graph = export(random_model, "decode", "bf16").graph
    kinds = tensor_types(list(graph.input))
    assert (kinds.pop("offsets_s"), kinds.pop("valid")) == ("FLOAT", "FLOAT")
    assert set(kinds.values()) == {"BFLOAT16"}
    stored = {tensor.data_type for tensor in graph.initializer}
    assert onnx.TensorProto.BFLOAT16 in stored
    assert onnx.TensorProto.FLOAT16 not in stored
    assert not [n for n in graph.node if n.op_type == "Cast" and n.attribute[0].i == onnx.TensorProto.FLOAT16]


def test_weights_beyond_what_protobuf_allows_lie_beside_their_graph(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2g_ros.runtimes import onnx_graphs

    inside, beside = tmp_path / "inside", tmp_path / "beside"
    for folder in (inside, beside):
        folder.mkdir()
        onnx_graphs.write_graphs(random_model, config_of(random_model), ["encode"], folder, "f32")
        monkeypatch.setattr(onnx_graphs, "INSIDE_BYTES", 100_000)
    assert [file.name for file in inside.iterdir()] == ["encode.onnx"]
    assert sorted(file.name for file in beside.iterdir()) == ["encode.onnx", "encode.onnx.data"]
    size = (beside / "encode.onnx.data").stat().st_size
    onnx_graphs.write_graphs(random_model, config_of(random_model), ["encode"], beside, "f32")
    assert (beside / "encode.onnx.data").stat().st_size == size  # replaced, not added to
    assert (beside / "encode.onnx").stat().st_size < (inside / "encode.onnx").stat().st_size / 4
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    found = [
        ort.InferenceSession(folder / "encode.onnx", providers=["CPUExecutionProvider"]).run(None, {"rgb": image})
        for folder in (inside, beside)
    ]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
