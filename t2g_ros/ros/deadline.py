"""The deadline mode of one camera: its engines, loaded ahead, and the switch from one to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger

from t2g_ros.inference.deadline import Deadline, Level, levels_of
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.ros.health import State, Verdict
from t2g_ros.runtimes import Runtime
from t2g_ros.runtimes.recovery import RecoveringRuntime, load_recovering

CAUSE = "deadline"
SCALING_STAGES = ("wait", "encode", "decode")
"""Of an image's way to its mask, what takes less time at a lower level; an image waits for the engine."""
OTHER_STAGES = ("convert", "preprocess", "postprocess")
MEASURED_FRAMES = 3
LOG_EVERY_S = 5.0


@dataclass(frozen=True)
class Ladder:
    """The engines of all levels, the best first, and what a frame costs each of them in milliseconds."""

    runtimes: list[RecoveringRuntime]
    costs_ms: list[float]


def load_ladder(best: RecoveringRuntime, options: dict[str, Any], lag: int, call: Callable[..., Any]) -> Ladder:
    """Load the engines below `best`, and measure all.

    Args:
        best: the engine of the best level.
        options: the arguments of `load_recovering` that it was loaded with.
        lag: frames by which the masks will trail the images.
        call: calls what it is given, with keyword arguments, on the inference thread.
    """
    # Whatever `auto` took the first time.
    options = options | {"runtime": best.name, "precision": best.precision}
    lower = levels_of(_level_of(best), lag)[1:]
    sizes = [{"clip_frames": level.clip_frames, "input_size": level.input_size} for level in lower]
    runtimes = [best, *(call(load_recovering, **(options | size)) for size in sizes)]
    return Ladder(runtimes, [call(cost_ms, runtime=runtime) for runtime in runtimes])


def cost_ms(runtime: Runtime) -> float:
    """Milliseconds that a frame takes with a full memory: the median of a few."""
    image = np.zeros((*runtime.input_size, 3), np.uint8)
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.ones(runtime.slots, np.float32)
    times = []
    for _ in range(MEASURED_FRAMES):
        start = perf_counter()
        runtime.encode(image, 0)
        runtime.decode(0, offsets_s, valid)
        times.append((perf_counter() - start) * 1e3)
    return median(times)


class DeadlineMode:
    """Switches a camera's segmenter so that it keeps a target latency, from an image's arrival until its mask is there.

    Args:
        ladder: the engines; the segmenter has the first.
        segmenter: of the camera.
        target_ms: the latency to keep, milliseconds.
        logger: is told of every switch.
    """

    def __init__(self, ladder: Ladder, segmenter: StreamSegmenter, target_ms: float, logger: RcutilsLogger) -> None:
        self._runtimes = ladder.runtimes
        self._segmenter = segmenter
        self._logger = logger
        self._deadline = Deadline(target_ms, ladder.costs_ms)
        costs = zip(map(_level_of, ladder.runtimes), ladder.costs_ms, strict=True)
        told = "; ".join(f"{level} in {cost:.1f} ms" for level, cost in costs)
        logger.info(f"deadline: target {target_ms:g} ms; levels, each with its engine's time per frame: {told}")

    @property
    def level(self) -> int:
        """Index of the level in use, 0 for the best."""
        return self._deadline.level

    @property
    def memory_bytes(self) -> int:
        """Bytes of the clip buffers of all levels."""
        return sum(runtime.memory_bytes for runtime in self._runtimes)

    def observe(self, stamp_ns: int, stage_ms: dict[str, float]) -> None:
        """Take the stages of a frame whose mask is out, and switch before the next if need be; inference thread only.

        Raises:
            Exception: whatever the engine switched to raises.
        """
        scaling_ms, rest_ms = (sum(stage_ms[s] for s in stages) for stages in (SCALING_STAGES, OTHER_STAGES))
        if not self._deadline.observe(stamp_ns, scaling_ms, rest_ms):
            return
        text = f"deadline: target {self._deadline.target_ms:g} ms: now at level {self}"
        self._logger.info(text, throttle_duration_sec=LOG_EVERY_S)
        self._segmenter.switch(self._runtimes[self.level], CAUSE)

    def verdict(self, verdict: Verdict) -> Verdict:
        """What to say of a camera that is otherwise as `verdict` says: a target that is missed is late."""
        deadline = self._deadline
        running = (State.OK, State.LATE, State.TWO_PUBLISHERS, State.BAD_CALIBRATION, State.UNSTABLE)
        if verdict.state not in running or not (self.level or deadline.missed):
            return verdict
        if not deadline.missed:
            return replace(verdict, message=f"{verdict.message}; deadline level {self}")
        missed = f"the target latency of {deadline.target_ms:g} ms is missed at deadline level {self}, the last"
        if verdict.state == State.OK:
            return Verdict(State.LATE, DiagnosticStatus.WARN, missed)
        return replace(verdict, message=f"{verdict.message}; {missed}")

    def values(self) -> dict[str, Any]:
        """What /diagnostics tells."""
        deadline = self._deadline
        return {
            "deadline_level": str(self),
            "deadline_switches": deadline.switches,
            "deadline_target_ms": deadline.target_ms,
            "deadline_latency_ms": deadline.latency_ms,
        }

    def __str__(self) -> str:
        level = self.level
        return f"{level + 1} of {len(self._runtimes)}: {_level_of(self._runtimes[level])}"


def _level_of(runtime: Runtime) -> Level:
    return Level(runtime.slots, runtime.input_size)
