"""Precision int8: made by `t2g quantize` beside the weights, run by the engines, and refused where it does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from t2g_ros.cli import main
from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.shipped import resolve_model
from t2g_ros.runtimes import Runtime, int8, load_runtime
from t2g_ros.runtimes.int8 import QUANTIZED
from t2g_ros.runtimes.recovery import load_recovering
from t2g_ros.sources import open_source

ov = pytest.importorskip("openvino")
DRIVE = Path(__file__).parents[1] / "data" / "drive"
ENGINES = ("openvino", "onnx")
SUFFIXES = {"openvino": (".xml", ".bin"), "onnx": (".onnx",)}
OPERATORS = (Path(__file__).parent / "tensorrt_operators.txt").read_text().splitlines()[1:]


def graph(model: Path, engine: str) -> Path:
    return model.with_name(f"model.int8_256x128{SUFFIXES[engine][0]}")


def copied(model: Path, folder: Path) -> Path:
    """The model in a folder of its own."""
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(model.with_suffix(suffix), folder / f"model{suffix}")
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def quantized(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nncf")
    model = copied(random_model, tmp_path_factory.mktemp("quantized"))
    for engine in ENGINES:
        given = ["--frames", str(DRIVE), "--images", "4", "--runtime", engine]
        assert main(["quantize", "--model", str(model), *given]) == 0
    return model


def in_int8(model: Path, engine: str, **options: tuple[int, int]) -> Runtime:
    return load_runtime(model, runtime=engine, device="cpu", precision="int8", **options)


def masks(runtime: Runtime) -> np.ndarray:
    """Of a short drive, so that the memory takes part."""
    segmenter = StreamSegmenter(runtime)
    steps = [segmenter.step(item.frame) for item, _ in zip(open_source(frames=DRIVE), range(6), strict=False)]
    return np.stack([step.model_labels for step in steps if step is not None])


def test_the_expensive_convolutions_compute_in_int8_and_no_others(quantized: Path) -> None:
    from t2g_ros.runtimes.int8_openvino import module_of

    network = ov.Core().read_model(graph(quantized, "openvino"))
    products = [op for op in network.get_ops() if op.get_type_name() in ("Convolution", "GroupConvolution")]
    by_type: dict[bool, list[str]] = {True: [], False: []}
    for op in products:
        by_type[_has_int8_weights(op)].append(module_of(op))
    assert sum(name.startswith("encoder.") for name in by_type[True]) > 50
    assert sum(name.startswith("pixel_decoder.") for name in by_type[True]) >= 3
    assert sum(name.startswith("pixel_decoder.") for name in by_type[False]) >= 4
    assert not any(name.startswith(QUANTIZED) for name in by_type[False])
    assert all(name.startswith(QUANTIZED) for name in by_type[True])


def _has_int8_weights(op: ov.Node) -> bool:
    node = op.input_value(1).get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node.get_element_type() in (ov.Type.i8, ov.Type.u8)


def test_the_onnx_graph_is_quantized_as_tensorrt_wants_it(quantized: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = onnx.load(graph(quantized, "onnx"))
    assert {node.op_type for node in network.graph.node} <= set(OPERATORS)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    made = {output: node for node in network.graph.node for output in node.output}
    for node in network.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale, zero = values[node.input[1]], values[node.input[2]]
            assert (zero.dtype, zero.any()) == (np.int8, False)
            assert scale.size == 1 or node.input[0] in values, f"{node.name}: an activation with {scale.size} scales"
    by_type: dict[bool, list[str]] = {True: [], False: []}
    for node in network.graph.node:
        if node.op_type == "Conv":
            feeds = [made[name].op_type if name in made else "" for name in node.input[:2]]
            by_type[feeds == ["DequantizeLinear"] * 2].append(node.name.removeprefix("/graph/").replace("/", ".", 1))
    assert sum(name.startswith("encoder.") for name in by_type[True]) > 50
    assert sum(name.startswith("pixel_decoder.") for name in by_type[True]) >= 3
    assert sum(name.startswith("pixel_decoder.") for name in by_type[False]) >= 4
    assert not any(name.startswith("encoder.") for name in by_type[False])
    properties = {entry.key: entry.value for entry in network.metadata_props}
    assert (properties["precision"], properties["input_size"]) == ("int8", "[128, 256]")


@pytest.mark.parametrize("engine", ENGINES)
def test_two_engines_give_the_same_masks_and_f32_others(quantized: Path, engine: str) -> None:
    runtime = in_int8(quantized, engine)
    assert runtime.precision == "int8"
    found = masks(runtime)
    np.testing.assert_array_equal(masks(in_int8(quantized, engine)), found)
    assert (found != masks(load_runtime(quantized, runtime=engine, device="cpu", precision="f32"))).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_of_the_shipped_model_are_near_those_in_f32(engine: str) -> None:
    model = resolve_model("t2g_tiny")
    found, expected = (masks(load_runtime(model, runtime=engine, device="cpu", precision=p)) for p in ("int8", "f32"))
    assert (found == expected).mean() > 0.98


def test_it_is_exported_with_a_decode_in_f32(quantized: Path, tmp_path: Path) -> None:
    assert (
        main(["export", "--model", str(quantized), "--runtime", "onnx", "--precision", "int8", "--out", str(tmp_path)])
        == 0
    )
    assert (tmp_path / "encode.onnx").read_bytes() == graph(quantized, "onnx").read_bytes()
    record = json.loads((tmp_path / "model.json").read_text())
    assert record["precision"] == "int8"
    assert {tensor["type"] for tensor in record["encode"]["outputs"]} == {"f32"}
    assert (tmp_path / "decode.onnx").is_file()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cannot_be_had_is_told_with_the_command_that_makes_it(
    quantized: Path, random_model: Path, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copied(random_model, tmp_path)
    file = graph(model, engine)
    command = f"run t2g quantize --model {model} --input-size 128x256 --runtime {engine}"
    with pytest.raises(RuntimeUnavailable, match=rf"{file}: no such file, expected .*; {command}"):
        in_int8(model, engine)
    for suffix in SUFFIXES[engine]:
        shutil.copy(graph(quantized, engine).with_suffix(suffix), file.with_suffix(suffix))
    with pytest.raises(RuntimeUnavailable, match=r"int8_128x64\..*: no such file.* --input-size 64x128"):
        in_int8(model, engine, input_size=(64, 128))
    in_int8(model, engine)
    with model.open("r+b") as weights:  # a bit of the last weight
        weights.seek(-2, 2)
        (byte,) = weights.read(1)
        weights.seek(-2, 2)
        weights.write(bytes([byte ^ 1]))
    with pytest.raises(RuntimeUnavailable, match=rf"{file}: .*was quantized from other weights .*; {command}"):
        in_int8(model, engine)
    shutil.copy(random_model, model)
    in_int8(model, engine)
    with monkeypatch.context() as patch:
        patch.setattr(int8, "LAYOUT", int8.LAYOUT + 1)
        patch.setenv("T2G_CACHE_DIR", str(tmp_path / "cache"))  # what was compiled of this version is kept
        with pytest.raises(RuntimeUnavailable, match=rf"{file}: .*by another version; {command}"):
            in_int8(model, engine)
    file.write_text("<net")
    with pytest.raises(RuntimeUnavailable, match=rf"{file}: (cannot be read|is damaged).*; {command}"):
        in_int8(model, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_that_is_quantized_anew_under_an_engine_is_told(quantized: Path, tmp_path: Path, engine: str) -> None:
    model = copied(quantized, tmp_path)
    for other in ENGINES:
        for suffix in SUFFIXES[other]:
            shutil.copy(graph(quantized, other).with_suffix(suffix), graph(model, other).with_suffix(suffix))
    runtime = load_recovering(model=model, runtime=engine, device="cpu", precision="int8")
    assert runtime.outdated is None
    for other in ENGINES:
        file = graph(model, other).with_suffix(SUFFIXES[other][-1])
        whole = file.read_bytes()
        file.write_bytes(whole + b"more")
        assert bool(runtime.outdated) is (other == engine)
        assert runtime.outdated is None or "changed on disk" in runtime.outdated
        file.write_bytes(whole)
        assert runtime.outdated is None


def test_torch_refuses(random_model: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match="runtime torch: precision 'int8' is not supported"):
        load_runtime(random_model, runtime="torch", precision="int8", device="cpu")


def test_quantize_names_a_folder_without_images(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["quantize", "--model", str(random_model), "--frames", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
