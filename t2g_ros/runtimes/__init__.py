"""Inference engines behind one protocol; `load_runtime` picks one and says why. Only this folder knows engines."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from t2g_ros.errors import ModelError, RuntimeUnavailable
from t2g_ros.runtimes.base import Runtime
from t2g_ros.runtimes.buffers import has_cuda

log = logging.getLogger(__name__)

RUNTIMES = ("auto", "torch", "openvino", "onnx", "tensorrt")
AUTO_CPU = ("openvino", "onnx", "torch")
AUTO_CUDA = ("tensorrt", "torch")
"""What `auto` tries, the fastest first."""
PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime", "tensorrt": "tensorrt"}
PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")

__all__ = ["PRECISIONS", "RUNTIMES", "Runtime", "load_runtime", "runtimes_for"]


def load_runtime(
    model: str | Path,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    input_size: tuple[int, int] | None = None,
    clip_frames: int | None = None,
    threads: int = 0,
) -> Runtime:
    """Load a network into an engine.

    Args:
        model: a shipped model's name or the path of a `.safetensors` file.
        runtime: one of `RUNTIMES`; `auto` takes the first of `AUTO_CUDA` on a CUDA device, else of `AUTO_CPU`, that is
            installed and works.
        precision: one of `PRECISIONS`; `auto` takes the fastest that the hardware computes natively, int8
            only if asked for.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; with `onnx` also `tensorrt` or `tensorrt:N`.
        input_size: (height, width), multiples of 64; None takes the model's.
        clip_frames: T, the frames that the memory holds; None takes the model's. The weights do not depend on it.
        threads: CPU threads; 0 takes one per core.

    Raises:
        ModelError: the model is missing, corrupt or foreign, or it cannot be had in this size.
        RuntimeUnavailable: the engine, device or precision asked for cannot be had here.
        ValueError: a name is unknown.
    """
    for key, value, known in (("runtime", runtime, RUNTIMES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise ValueError(f"{key} '{value}': expected one of {', '.join(known)}")
    size = {"input_size": input_size, "clip_frames": clip_frames}
    options = {"precision": precision, "device": device, "threads": threads, **size}
    if runtime != "auto":
        return _load(runtime, model, reason="asked for", **options)
    failures: list[str] = []
    for name, reason in _candidates(device):
        try:
            return _load(name, model, reason="; ".join([reason, *failures]), **options)
        except ModelError:
            raise  # no engine could run it
        except Exception as error:  # whatever an engine raises on a machine that it does not like
            failures.append(f"{name} does not work here: {error}")
            log.warning("runtime auto: %s", failures[-1])
    raise RuntimeUnavailable(
        f"runtime 'auto': {'; '.join(failures)}; name a runtime, precision and device that go together"
    )


def runtimes_for(first: Runtime, streams: int) -> list[Runtime]:
    """Return a runtime for each of so many streams of one network, `first` among them.

    All that they will ever need is allocated here, for batches too.
    """
    runtimes = [first, *(first.another() for _ in range(streams - 1))]
    image = np.zeros((*first.input_size, 3), np.uint8)
    for together in range(2, min(streams, first.batch_frames) + 1):
        first.encode_batch(np.stack([image] * together), [(runtime, 0) for runtime in runtimes[:together]])
    return runtimes


def _load(name: str, model: str | Path, **options: Any) -> Runtime:
    if name == "openvino":
        from t2g_ros.runtimes.openvino import OpenVINORuntime

        return OpenVINORuntime(model, **options)
    if name == "onnx":
        from t2g_ros.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(model, **options)
    if name == "tensorrt":
        from t2g_ros.runtimes.tensorrt import TensorRTRuntime

        return TensorRTRuntime(model, **options)
    from t2g_ros.runtimes.torch import TorchRuntime

    return TorchRuntime(model, **options)


def _candidates(device: str) -> list[tuple[str, str]]:
    """Runtimes to try, the best first, with the reason for each."""
    cuda = device.startswith("cuda") or (device == "auto" and has_cuda())
    where = "a CUDA device" if cuda else "no CUDA device"
    names = AUTO_CUDA if cuda else AUTO_CPU
    found = [name for name in names if find_spec(PACKAGES[name]) is not None]
    if not found:
        raise RuntimeUnavailable(
            f"runtime 'auto': {where}, and none of {', '.join(PACKAGES[name] for name in names)} is installed; "
            "pip install one of them"
        )
    reasons = []
    for name in found:
        missing = [better for better in names[: names.index(name)] if better not in found]
        without = f"; {' and '.join(missing)} not installed" if missing else ""
        reasons.append((name, f"auto: {where}{without}"))
    return reasons
