"""Precision int8: made by `t2g quantize` beside the weights, run by OpenVINO, and refused where it does not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from t2g_ros.cli import main
from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.shipped import resolve_model
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.runtimes.int8 import QUANTIZED, module_of
from t2g_ros.sources import open_source

ov = pytest.importorskip("openvino")
DRIVE = Path(__file__).parents[1] / "data" / "drive"
GRAPH = "model.int8_256x128.xml"


def copied(model: Path, folder: Path) -> Path:
    """The model in a folder of its own."""
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(model.with_suffix(suffix), folder / f"model{suffix}")
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def quantized(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nncf")
    model = copied(random_model, tmp_path_factory.mktemp("quantized"))
    assert main(["quantize", "--model", str(model), "--frames", str(DRIVE), "--images", "4"]) == 0
    return model


def in_int8(model: Path, **options: tuple[int, int]) -> Runtime:
    return load_runtime(model, runtime="openvino", precision="int8", **options)


def masks(runtime: Runtime) -> np.ndarray:
    """Of a short drive, so that the memory takes part."""
    segmenter = StreamSegmenter(runtime)
    steps = [segmenter.step(item.frame) for item, _ in zip(open_source(frames=DRIVE), range(6), strict=False)]
    return np.stack([step.model_labels for step in steps if step is not None])


def test_the_expensive_convolutions_compute_in_int8_and_no_others(quantized: Path) -> None:
    graph = ov.Core().read_model(quantized.with_name(GRAPH))
    products = [op for op in graph.get_ops() if op.get_type_name() in ("Convolution", "GroupConvolution")]
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


def test_two_engines_give_the_same_masks_and_f32_others(quantized: Path) -> None:
    runtime = in_int8(quantized)
    assert runtime.precision == "int8"
    found = masks(runtime)
    np.testing.assert_array_equal(masks(in_int8(quantized)), found)
    assert (found != masks(load_runtime(quantized, runtime="openvino", precision="f32"))).any()


def test_masks_of_the_shipped_model_are_near_those_in_f32() -> None:
    model = resolve_model("t2g_tiny")
    found, expected = (masks(load_runtime(model, runtime="openvino", precision=p)) for p in ("int8", "f32"))
    assert (found == expected).mean() > 0.98


def test_what_cannot_be_had_is_told_with_the_command_that_makes_it(
    quantized: Path, random_model: Path, tmp_path: Path
) -> None:
    model = copied(random_model, tmp_path)
    command = f"t2g quantize --model {model} --input-size 128x256"
    with pytest.raises(RuntimeUnavailable, match=rf"{GRAPH}: no such file, expected .*; run {command}"):
        in_int8(model)
    for suffix in (".xml", ".bin"):
        shutil.copy(quantized.with_name(GRAPH).with_suffix(suffix), model.with_name(GRAPH).with_suffix(suffix))
    with pytest.raises(RuntimeUnavailable, match=r"int8_128x64.xml: no such file.* --input-size 64x128"):
        in_int8(model, input_size=(64, 128))
    in_int8(model)
    with model.open("r+b") as file:  # a bit of the last weight
        file.seek(-2, 2)
        (byte,) = file.read(1)
        file.seek(-2, 2)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(RuntimeUnavailable, match=rf"{GRAPH}: was quantized from other weights .*; run {command}"):
        in_int8(model)
    model.with_name(GRAPH).write_text("<net")
    with pytest.raises(RuntimeUnavailable, match=rf"{GRAPH}: cannot be read .*; run {command}"):
        in_int8(model)


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_other_engines_refuse(random_model: Path, name: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=f"runtime {name}: precision 'int8' is not supported"):
        load_runtime(random_model, runtime=name, precision="int8", device="cpu")


def test_quantize_names_a_folder_without_images(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["quantize", "--model", str(random_model), "--frames", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
