"""The streaming benchmark, run short on a small network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stream import main, mobilenet

from t2g_ros.runtimes import load_runtime

SHORT = ["--rounds", "5", "--repeats", "1", "--clips", "1", "3", "--sizes", "128x64", "--cameras", "1", "2"]


@pytest.fixture(scope="module")
def results(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("stream") / "stream.json"
    engine = ["--runtime", "torch", "--precision", "f32", "--threads", "1"]
    main([*SHORT, *engine, "--model", str(random_model), "--json", str(file)])
    return json.loads(file.read_text())


def test_the_ratios_are_those_of_the_medians(results: dict[str, Any]) -> None:
    own = results["own"]
    assert results["speedup_over_clip"] == own["clip_ms"] / own["frame_ms"]
    assert results["decode_plus_encode_over_encoder"] == own["frame_ms"] / own["mobilenet_ms"]


def test_streaming_saves_encodes_but_of_a_clip_of_one_there_are_none_to_save(results: dict[str, Any]) -> None:
    one, three = results["by_clip_length"]
    assert (one["clip"], three["clip"], results["own"]["clip"]) == (1, 3, 5)
    assert 0.3 < one["speedup"] < 3
    assert results["speedup_over_clip"] > 1.5


def test_every_resolution_and_number_of_cameras_has_its_row(results: dict[str, Any]) -> None:
    (small,) = results["by_resolution"]
    assert (small["size"], results["own"]["size"]) == ("128x64", "256x128")
    one, two = results["cameras"]
    assert (one["cameras"], two["cameras"]) == (1, 2)
    assert two["one_by_one_ms"] > one["one_by_one_ms"]
    assert two["per_camera_ms"] == two["one_by_one_ms"] / 2  # torch on a CPU makes no batches


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_the_plain_encoder_is_timed_in_the_same_engine(random_model: Path, name: str) -> None:
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[name])
    runtime = load_runtime(random_model, runtime=name, precision="f32", threads=1)
    plain = mobilenet(runtime, threads=1)
    assert plain is not None
    (features,) = plain().values() if name == "openvino" else plain()  # type: ignore[attr-defined, misc]
    assert features.shape == (1, 320, 4, 8)


def test_the_engine_and_the_input_are_told(results: dict[str, Any]) -> None:
    assert results["engine"]["runtime"] == "torch"
    assert len(results["input"]["sha256"]) == 64
