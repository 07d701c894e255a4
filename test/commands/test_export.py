"""What `t2g export` writes is all that another program needs to run the network."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from t2g_ros.cli import main
from t2g_ros.labels import CITYSCAPES19
from t2g_ros.runtimes import load_runtime

FRAMES = np.kron(
    np.random.default_rng(0).integers(0, 256, (4, 8, 16, 3), dtype=np.uint8), np.ones((1, 8, 8, 1), np.uint8)
)
OFFSETS_S = np.float32([-0.3, -0.2, -0.1, 0, 0])
VALID = np.float32([1, 1, 1, 1, 0])


def export(out: Path, model: Path, *args: str) -> int:
    return main(["export", "--model", str(model), "--out", str(out), "--input-size", "64x128", *args])


@pytest.mark.parametrize("model", ["random_model", "write_back_model"])
def test_plain_onnxruntime_runs_the_pair(model: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    weights: Path = request.getfixturevalue(model)
    assert export(tmp_path, weights, "--runtime", "onnx") == 0

    # All that a program does, by what model.json says.
    about = json.loads((tmp_path / "model.json").read_text())
    encode, decode = (ort.InferenceSession(tmp_path / f"{name}.onnx") for name in ("encode", "decode"))
    memory = {i["name"]: np.zeros(i["shape"], np.float32) for i in about["decode"]["inputs"] if "slot_axis" in i}
    axes = {i["name"]: i["slot_axis"] for i in about["decode"]["inputs"] if "slot_axis" in i}
    for slot, rgb in enumerate(FRAMES):
        found = encode.run(None, {"rgb": rgb[None]})
        features = {o["name"]: values for o, values in zip(about["encode"]["outputs"], found, strict=True)}
        for name, axis in axes.items():
            np.moveaxis(memory[name], axis, 0)[slot] = features[name]
        own = {i["name"]: features[i["name"]] for i in about["decode"]["inputs"] if i["name"] in features.keys() - axes}
        times = {"offsets_s": OFFSETS_S[None] - OFFSETS_S[slot], "valid": (VALID * (np.arange(5) <= slot))[None]}
        found = decode.run(None, own | memory | times)
        said = {o["name"]: values for o, values in zip(about["decode"]["outputs"], found, strict=True)}
        for output in about["decode"]["outputs"]:
            if "replaces" in output:
                np.moveaxis(memory[output["replaces"]], axes[output["replaces"]], 0)[slot] = said[output["name"]]

    runtime = load_runtime(weights, runtime="torch", device="cpu", precision="f32", input_size=(64, 128))
    for slot, rgb in enumerate(FRAMES):
        runtime.encode(rgb, slot)
        valid = VALID * (np.arange(5) <= slot)
        expected, expected_confidence = runtime.decode(slot, OFFSETS_S - OFFSETS_S[slot], np.float32(valid))
    assert len(np.unique(expected)) > 2
    assert (said["labels"][0] == expected).mean() >= 0.999
    assert np.abs(said["confidence"][0].astype(int) - expected_confidence).max() <= 1
    assert about["labels"] == CITYSCAPES19.to_json()
    assert about["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    for name, session in (("encode", encode), ("decode", decode)):
        for found, told in ((session.get_inputs(), "inputs"), (session.get_outputs(), "outputs")):
            assert [(f.name, f.shape) for f in found] == [(t["name"], t["shape"]) for t in about[name][told]]


def test_openvino_reads_its_pair(random_model: Path, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    assert export(tmp_path, random_model, "--runtime", "openvino") == 0
    about = json.loads((tmp_path / "model.json").read_text())
    for name in ("encode", "decode"):
        graph = ov.Core().read_model(tmp_path / f"{name}.xml")
        assert [list(i.shape) for i in graph.inputs] == [i["shape"] for i in about[name]["inputs"]]


def test_a_precision_that_a_format_does_not_hold_is_refused(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "new", random_model, "--runtime", "openvino", "--precision", "f16") == 2
    assert "--precision f16: runtime openvino is exported in f32 only" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", ["64", "64x", "ax128"])
def test_a_size_that_is_none_is_refused(random_model: Path, tmp_path: Path, size: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(
            ["export", "--model", str(random_model), "--runtime", "onnx", "--out", str(tmp_path), "--input-size", size]
        )
    assert stop.value.code == 2


def test_tensorrt_is_refused_in_one_line_where_it_is_not_installed(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("tensorrt"):
        pytest.skip("TensorRT is installed")
    assert export(tmp_path / "out", random_model, "--runtime", "tensorrt") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "runtime tensorrt: cannot be imported" in line
    assert "pip install 't2g_ros[tensorrt]'" in line
    assert not list(tmp_path.glob("out/*"))
