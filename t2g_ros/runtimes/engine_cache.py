"""What decides about a TensorRT engine without TensorRT: its key, whether a found one fits, and news of a build."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from t2g_ros.runtimes import cache

log = logging.getLogger(__name__)

BF16_CAPABILITY = (8, 0)
"""Compute capability of the first GPUs that compute in bf16 (Ampere)."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine."""

    name: str
    direction: str
    """`input` or `output`."""
    element: str
    """`f32`, `f16`, `bf16` or `u8`."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Target:
    """What an engine is built for; it runs on nothing else."""

    tensorrt: str
    """Version."""
    gpu: str
    capability: tuple[int, int]
    precision: str

    def key(self, graph: Path) -> str:
        """Hash of this and of an ONNX file with its shapes, types and weights, also those that lie beside it."""
        files = [graph, *graph.parent.glob(f"{graph.name}.data")]
        return cache.content_key(files, json.dumps(asdict(self), sort_keys=True))


def real_precision(asked: str, capability: tuple[int, int], runtime: str = "tensorrt") -> str:
    """What a runtime computes in on a GPU where `asked` is wanted; says so if it is something else."""
    if asked == "auto":
        return "f16"
    if asked == "bf16" and capability < BF16_CAPABILITY:
        found = ".".join(map(str, capability))
        log.warning("runtime %s: this GPU (compute capability %s) has no bf16, computing in f16", runtime, found)
        return "f16"
    return asked


def misfit(found: list[Tensor], expected: list[Tensor]) -> str | None:
    """Say how an engine's inputs and outputs differ from those that are expected; None if they do not."""
    by_name = {tensor.name: tensor for tensor in found}
    if missing := [tensor.name for tensor in expected if tensor.name not in by_name]:
        return f"it lacks {', '.join(missing)}"
    if extra := sorted(by_name.keys() - {tensor.name for tensor in expected}):
        return f"it has {', '.join(extra)} besides"
    for tensor in expected:
        if by_name[tensor.name] != tensor:
            return f"{tensor.name} is {_told(by_name[tensor.name])}, expected {_told(tensor)}"
    return None


def _told(tensor: Tensor) -> str:
    return f"{tensor.direction} {tensor.element} {list(tensor.shape)}"


def write_atomically(path: Path, data: bytes) -> bool:
    """Write a file so that it is whole wherever it is seen; return whether that could be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as partial:
            try:
                partial.write(data)
                partial.flush()
                os.fsync(partial.fileno())
                Path(partial.name).replace(path)
            except OSError:
                Path(partial.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        log.warning("engine cache %s: cannot be written (%s); the engine is built at every start", path, error)
        cache.not_kept(len(data))
        return False
    return True


class Progress:
    """Says that a build goes on, every so often, since it takes minutes.

    Args:
        what: is built.
        every_s: seconds between two messages.
        clock: seconds that only grow.
    """

    def __init__(self, what: str, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._every_s = every_s
        self._clock = clock
        self._start = self._last = clock()

    def step(self, phase: str, done: int, steps: int) -> None:
        """Note that a phase of the build came as far as `done` of `steps`."""
        now = self._clock()
        if now - self._last < self._every_s:
            return
        self._last = now
        told = (self._what, now - self._start, phase, done, steps)
        log.warning("building the TensorRT engine of %s, please wait: %.0f s so far, %s %d/%d", *told)
