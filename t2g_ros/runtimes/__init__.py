"""Inference engines behind one protocol; `load_runtime` picks one and says why. Only this folder knows engines."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from t2g_ros.errors import ModelError, RuntimeUnavailable
from t2g_ros.runtimes.base import Runtime

log = logging.getLogger(__name__)

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "f32", "bf16", "f16")

__all__ = ["PRECISIONS", "RUNTIMES", "Runtime", "load_runtime"]


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
        runtime: one of `RUNTIMES`; `auto` takes torch on a CUDA device, else OpenVINO, else torch.
        precision: one of `PRECISIONS`; `auto` takes the fastest that the hardware computes natively.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
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
    raise RuntimeUnavailable(f"runtime 'auto': {'; '.join(failures)}; pip install torch or openvino")


def _load(name: str, model: str | Path, **options: Any) -> Runtime:
    if name == "openvino":
        from t2g_ros.runtimes.openvino import OpenVINORuntime

        return OpenVINORuntime(model, **options)
    from t2g_ros.runtimes.torch import TorchRuntime

    return TorchRuntime(model, **options)


def _has_cuda() -> bool:
    # torch takes seconds to import, so it is only asked where an NVIDIA device node exists (desktop, Jetson).
    if not any(Path(node).exists() for node in ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu")):
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _candidates(device: str) -> list[tuple[str, str]]:
    """Runtimes to try, the best first, with the reason for each."""
    if device.startswith("cuda") or (device == "auto" and _has_cuda()):
        return [("torch", "auto: a CUDA device")]
    found = [name for name in ("openvino", "torch") if find_spec(name) is not None]
    if not found:
        raise RuntimeUnavailable("runtime 'auto': neither openvino nor torch is installed; pip install one of them")
    if found == ["torch"]:
        return [("torch", "auto: no CUDA device and openvino is not installed")]
    reasons = {"openvino": "auto: no CUDA device; OpenVINO is the fastest on a CPU", "torch": "auto: no CUDA device"}
    return [(name, reasons[name]) for name in found]
