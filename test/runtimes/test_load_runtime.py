"""Which engine is picked and why, what cannot be had, and what every engine offers."""

import logging
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from t2g_ros.errors import ModelError, RuntimeUnavailable
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.features import feature_shapes
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.runtimes.base import SLOT_AXIS
from t2g_ros.types import NS_PER_S, Frame

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


ENGINES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}
"""Those that run on a CPU, with the package that each needs."""


@pytest.fixture(scope="module", params=list(ENGINES))
def runtime(request: pytest.FixtureRequest, random_model: Path) -> Runtime:
    pytest.importorskip(ENGINES[request.param])
    return load_runtime(random_model, runtime=request.param, precision="f32", threads=1)


@NO_CUDA
def test_auto_takes_openvino_on_a_cpu_and_says_why(random_model: Path) -> None:
    pytest.importorskip("openvino")
    runtime = load_runtime(random_model)
    assert runtime.name == "openvino"
    assert runtime.precision in ("f32", "bf16")
    assert "no CUDA device" in runtime.reason
    assert runtime.device


@pytest.mark.parametrize("asked", ["auto", "bf16"])
def test_bf16_is_computed_in_where_the_cpu_has_it_and_otherwise_f32_which_is_said(
    random_model: Path, caplog: pytest.LogCaptureFixture, asked: str
) -> None:
    openvino = pytest.importorskip("openvino")
    native = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    with caplog.at_level(logging.WARNING):
        runtime = load_runtime(random_model, runtime="openvino", precision=asked, threads=1)
    assert runtime.precision == ("bf16" if native else "f32")
    said = "this CPU has no native bf16, computing in f32" in caplog.text
    assert said is (asked == "bf16" and not native)


@NO_CUDA
def test_auto_falls_back_to_torch_and_says_why(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    runtime = load_runtime(random_model)
    assert (runtime.name, runtime.precision, runtime.device) == ("torch", "f32", "cpu")
    assert "openvino and onnx not installed" in runtime.reason


@NO_CUDA
def test_auto_prefers_onnx_to_torch(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, "openvino", None)
    runtime = load_runtime(random_model, threads=1)
    assert (runtime.name, runtime.precision, runtime.device) == ("onnx", "f32", "cpu")
    assert "no CUDA device; openvino not installed" in runtime.reason


@NO_CUDA
def test_auto_names_all_that_is_missing(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ENGINES.values():
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeUnavailable, match="none of openvino, onnxruntime, torch is installed"):
        load_runtime(random_model)


def test_auto_takes_the_next_when_the_best_does_not_work_here(
    random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2g_ros.runtimes.openvino import OpenVINORuntime

    def broken(self: object, *args: object, **options: object) -> None:
        raise RuntimeError("no kernel for this CPU")

    monkeypatch.setattr(OpenVINORuntime, "__init__", broken)
    runtime = load_runtime(random_model)
    assert runtime.name in ("onnx", "torch")
    assert "openvino does not work here: no kernel for this CPU" in runtime.reason
    with pytest.raises(RuntimeError, match="no kernel"):
        load_runtime(random_model, runtime="openvino")


@pytest.mark.parametrize(
    ("name", "package", "module"),
    [
        ("openvino", "openvino", "openvino"),
        ("onnx", "onnxruntime", "onnxruntime"),
        ("tensorrt", "tensorrt", "tensorrt"),
    ],
)
def test_an_engine_that_is_not_installed(
    random_model: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for own in (module, "int8_openvino", "openvino_blobs"):
        monkeypatch.delitem(sys.modules, f"t2g_ros.runtimes.{own}", raising=False)
    with pytest.raises(RuntimeUnavailable, match=rf"{name}: cannot be imported .*pip install 't2g_ros\[{name}\]'"):
        load_runtime(random_model, runtime=name)


def test_onnx_without_what_converts_says_so(
    random_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "t2g_ros.runtimes.onnx_graphs", raising=False)
    with pytest.raises(RuntimeUnavailable, match=r"onnx: cannot be imported .*pip install 't2g_ros\[onnx\]'"):
        load_runtime(random_model, runtime="onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "tensorflow"}, "runtime 'tensorflow': expected one of auto, torch, openvino, onnx, tensorrt"),
        ({"precision": "int4"}, "precision 'int4': expected one of auto, f32, bf16, f16, int8"),
    ],
)
def test_unknown_names_are_refused(random_model: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_runtime(random_model, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "torch", "device": "tpu"}, "device 'tpu': expected auto, cpu, cuda or cuda:N"),
        ({"runtime": "torch", "device": "mps"}, "device 'mps': expected"),
        ({"runtime": "torch", "device": "cuda:99"}, r"device 'cuda:99': torch .* finds \d+ CUDA"),
        ({"runtime": "openvino", "device": "cuda"}, "device 'cuda' is not supported"),
        ({"runtime": "openvino", "precision": "f16"}, "precision 'f16' is not supported; use f32, bf16, int8"),
        ({"runtime": "torch", "device": "cpu", "precision": "f16"}, "f16 needs a CUDA device"),
        ({"runtime": "onnx", "device": "tpu"}, "device 'tpu': expected auto, cpu, cuda or cuda:N"),
        ({"runtime": "onnx", "device": "cpu", "precision": "f16"}, "f16 needs a CUDA device; use f32 on a CPU"),
        ({"runtime": "onnx", "precision": "bf16"}, "precision 'bf16' is not supported; use f32"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(random_model: Path, options: dict, message: str) -> None:
    if find_spec(ENGINES[options["runtime"]]) is None:
        pytest.skip(f"{options['runtime']} is not installed")
    with pytest.raises(RuntimeUnavailable, match=message):
        load_runtime(random_model, **options)


@NO_CUDA
def test_a_cuda_device_that_is_not_there(random_model: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"device 'cuda': torch .* finds 0 CUDA"):
        load_runtime(random_model, device="cuda")


@NO_CUDA
@pytest.mark.parametrize(("device", "missing"), [("cuda", "CUDA"), ("tensorrt:1", "Tensorrt")])
def test_onnx_names_the_provider_that_is_missing(random_model: Path, device: str, missing: str) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(RuntimeUnavailable, match=rf"device '{device}': .*{missing}ExecutionProvider|finds 0 CUDA"):
        load_runtime(random_model, runtime="onnx", device=device)


@pytest.mark.parametrize("name", list(ENGINES))
def test_a_bad_model_is_refused_by_every_engine(random_model: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip(ENGINES[name])
    with pytest.raises(ModelError, match=r"none\.safetensors: no such file"):
        load_runtime(tmp_path / "none.safetensors", runtime=name)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(random_model.read_bytes()[:-100])
    damaged.with_suffix(".yaml").write_bytes(random_model.with_suffix(".yaml").read_bytes())
    with pytest.raises(ModelError, match=r"damaged\.safetensors: not a readable"):
        load_runtime(damaged, runtime=name)
    with pytest.raises(ModelError, match=r"input_size is \(100, 256\), expected .*multiples of 64"):
        load_runtime(random_model, runtime=name, input_size=(100, 256))
    with pytest.raises(ModelError, match=r"clip_frames is 0, expected at least 1"):
        load_runtime(random_model, runtime=name, clip_frames=0)


def test_every_engine_describes_itself(runtime: Runtime) -> None:
    assert runtime.reason == "asked for"
    assert runtime.precision == "f32"
    assert runtime.model_name == "tiny_test"
    assert runtime.labels.name == "cityscapes19"
    assert (runtime.input_size, runtime.slots) == ((128, 256), 5)
    sizes = {name: int(np.prod(shape)) for name, shape in feature_shapes(ModelConfig(input_size=(128, 256))).items()}
    # What lies in pieces in its slot is encoded beside it.
    beside = sum(sizes[name] for name in SLOT_AXIS) if runtime.name != "torch" else 0
    assert runtime.memory_bytes == 4 * (5 * sum(sizes.values()) + beside)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_another_clip_length_gives_the_masks_of_a_model_that_has_it(
    random_model: Path, tmp_path: Path, name: str
) -> None:
    pytest.importorskip(name)
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(random_model.read_bytes())
    replace(ModelConfig.load(random_model.with_suffix(".yaml")), clip_frames=3).save(twin.with_suffix(".yaml"))
    options = {"runtime": name, "precision": "f32", "input_size": (64, 128), "threads": 1}
    shorter = load_runtime(random_model, clip_frames=3, **options)
    assert (shorter.slots, shorter.input_size) == (3, (64, 128))
    np.testing.assert_array_equal(masks(shorter), masks(load_runtime(twin, **options)))


def masks(runtime: Runtime) -> np.ndarray:
    """The masks of a stream of seven frames."""
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 256, (8, 16, 3), dtype=np.uint8), (128, 64)) for _ in range(7)]
    segmenter = StreamSegmenter(runtime)
    found = [segmenter.step(Frame(image, k * NS_PER_S // 10)) for k, image in enumerate(images)]
    return np.stack([segmentation.model_labels for segmentation in found if segmentation is not None])


def test_a_slot_keeps_its_frame_until_it_is_encoded_again(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    dark, bright = (
        np.repeat(np.repeat(rng.integers(low, low + 100, (16, 32, 3), dtype=np.uint8), 8, 0), 8, 1) for low in (0, 150)
    )
    offsets_s, only_first = np.zeros(5, np.float32), np.float32([1, 0, 0, 0, 0])
    runtime.encode(dark, 0)
    labels, confidence = runtime.decode(0, offsets_s, only_first)
    assert (labels.shape, confidence.shape) == ((64, 128), (32, 64))
    kept = labels.copy()
    for slot in (1, 2, 3, 4):
        runtime.encode(bright, slot)
    again, _ = runtime.decode(0, offsets_s, only_first)
    np.testing.assert_array_equal(again, kept)
    other, _ = runtime.decode(1, offsets_s, np.float32([0, 1, 0, 0, 0]))
    assert (other != kept).mean() > 0.05
    np.testing.assert_array_equal(labels, kept)  # a result belongs to the caller
    runtime.encode(bright, 0)
    replaced, _ = runtime.decode(0, offsets_s, only_first)
    np.testing.assert_array_equal(replaced, other)


FREED_ELSEWHERE = """
import os, signal, sys, threading
from t2g_ros.runtimes import load_runtime
held = [load_runtime(sys.argv[1], runtime="openvino")]
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda *_: print("taken"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_after_an_engine_was_freed_in_another_thread_is_survived(random_model: Path) -> None:
    pytest.importorskip("openvino")
    command = [sys.executable, "-c", FREED_ELSEWHERE, str(random_model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr
