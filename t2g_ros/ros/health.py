"""How one camera is doing: what came in, what went out, how long it took, and the one word that sums it up."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from t2g_ros.inference.stability import Stability
from t2g_ros.ros.parameters import Settings
from t2g_ros.types import NS_PER_S, Segmentation

STAGES = ("wait", "convert", "preprocess", "encode", "decode", "postprocess", "stability", "publish")
"""From the image's arrival in the node to its last message out; disjoint."""
SKIPS = ("disabled", "paused", "deactivated", "recovering", "rate_limit")
RECENT_FRAMES = 256
LOG_EVERY_S = 5.0


class State(str, Enum):
    """Consumer-side state of a camera, the first that applies."""

    INACTIVE = "inactive"
    DISABLED = "disabled"
    INCOMPATIBLE_QOS = "incompatible_qos"
    NO_CLOCK = "no_clock"
    WAITING = "waiting"
    STALE = "stale"
    PAUSED = "paused"
    REJECTED = "rejected"
    RECOVERING = "recovering"
    ERROR = "error"
    TWO_PUBLISHERS = "two_publishers"
    LATE = "late"
    BAD_CALIBRATION = "bad_calibration"
    UNSTABLE = "unstable"
    OK = "ok"


@dataclass(frozen=True)
class Verdict:
    """A state with its severity and, for people, why."""

    state: State
    level: bytes
    message: str


LOST_AT_ONCE = 1_000_000
"""More than a camera sends. Fast DDS tells of some 2**31 at times, when a camera was killed and another came."""


@dataclass
class CameraHealth:
    """Counters and last values of a camera. Written by the subscription and the inference thread, one field each."""

    topic: str
    active: bool = False
    enabled: bool = True
    paused: bool = False
    """Nobody subscribes to any output."""
    encoding: str | None = None
    size: tuple[int, int] | None = None
    received: int = 0
    segmented: int = 0
    batched: int = 0
    """Frames that were encoded together with other cameras'."""
    rejected: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Frames that nothing was wrong with, by why they got no mask: one of `SKIPS`."""
    lost: int = 0
    """Frames that DDS says it lost on the way."""
    last_received_ns: int | None = None
    """Node time of the last image, None since activation."""
    told_at: dict[State, float] = field(default_factory=dict)
    """Steady seconds at which the log last told of a fault of this camera, by its state."""
    incompatible_qos: str | None = None
    """Which publishers' QoS does not fit, None if all do."""
    interleaved: str | None = None
    """Whose images come mixed on the topic, None if all are of one publisher."""
    calibration: str | None = None
    """What is wrong with the camera's calibration, which is not passed on then."""
    problem: tuple[State, str] | None = None
    """Why the last frame gave no mask; None if it gave one."""
    segmentation: Segmentation | None = None
    stability: Stability | None = None
    alarms: dict[str, str] = field(default_factory=dict)
    """What is unstable, by the name of the measure."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Disjoint stages of the last frame; their sum is its processing time."""
    recent_ms: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    """The `STAGES` of the last frames."""
    started_ns: int | None = None
    """Steady time when the engine took the frame that it took last, None once that is out."""
    waiting_since_ns: int | None = None
    """Steady time since which an image has waited while the engine took no other; None while none waits."""
    late_since_ns: int | None = None
    """Steady time when the first of the last frames, all of them late, came; None if the last was in time."""
    ready_ns: int | None = None
    """Steady time when the last frame was ready."""

    def is_due(self, state: State) -> bool:
        """Whether the log is to tell of a fault of this camera; then it tells of no other of this kind for a while.

        rclpy would throttle by line, for all cameras together.
        """
        now = monotonic()
        if now < self.told_at.get(state, -LOG_EVERY_S) + LOG_EVERY_S:
            return False
        self.told_at[state] = now
        return True

    def lose(self, frames: int) -> None:
        """Note that DDS says that so many frames were lost on the way since it said so last."""
        if frames < LOST_AT_ONCE:
            self.lost += frames

    def started(self, now_ns: int) -> None:
        """Note that the engine takes a frame."""
        self.started_ns = now_ns

    def ended(self, started_ns: int) -> None:
        """Note that the frame that was taken then is done with, whatever came of it; the next may be under way."""
        if self.started_ns == started_ns:
            self.started_ns = None

    def finished(self, stage_ms: dict[str, float], now_ns: int, allowed_ms: float) -> None:
        """Note the times of a frame that is out."""
        self.stage_ms = stage_ms
        self.recent_ms.append(tuple(stage_ms[stage] for stage in STAGES))
        took_ms = sum(stage_ms.values())
        # Not since `started_ns`: the engine may be at the next frame already.
        late_since_ns = self.late_since_ns or now_ns - round(took_ms * 1e6)
        self.late_since_ns = late_since_ns if took_ms > allowed_ms else None
        self.ready_ns = now_ns

    def forget_lateness(self) -> None:
        """Start counting anew: the time without frames to segment was no delay."""
        self.started_ns = self.late_since_ns = None

    @property
    def _under_way_since_ns(self) -> int | None:
        """When the engine took a frame that is not out, or a frame began to wait that it does not take."""
        return min((since for since in (self.started_ns, self.waiting_since_ns) if since is not None), default=None)

    def processing_ms(self, now_ns: int) -> float | None:
        """How long the last frame took, or the one under way if that is longer already; None before the first.

        A frame's time is from its arrival in the node to its last message out.
        """
        since_ns = self._under_way_since_ns
        under_way = 0.0 if since_ns is None else (now_ns - since_ns) / 1e6
        if not self.stage_ms:
            return under_way or None
        return max(sum(self.stage_ms.values()), under_way)

    def delay_ms(self, now_ns: int, allowed_ms: float) -> float | None:
        """For how long every frame has been late, 0 while they are in time; None before the first."""
        started, late_since = self._under_way_since_ns, self.late_since_ns
        if started is not None and now_ns - started > allowed_ms * 1e6:  # an engine that hangs, too
            return (now_ns - (late_since or started)) / 1e6
        if self.ready_ns is None:
            return None
        return (self.ready_ns - late_since) / 1e6 if late_since is not None else 0.0

    def percentiles_ms(self, percent: float) -> dict[str, float]:
        """That percentile over the last frames, by stage and of their `total`; empty before the first."""
        if not self.recent_ms:
            return {}
        stages = np.array(self.recent_ms)
        values = np.percentile(np.column_stack([stages, stages.sum(axis=1)]), percent, axis=0)
        return dict(zip((*STAGES, "total"), values.tolist(), strict=True))

    def verdict(self, now_ns: int, steady_ns: int, settings: Settings, publishers: int) -> Verdict:
        """Sum it up.

        Args:
            now_ns: node time, in which a silence is measured; 0 until simulation time has begun.
            steady_ns: steady time, in which frames are late: work takes as long at any speed of playback.
            settings: the limits.
            publishers: on the image topic.
        """
        ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
        if not self.active:
            return Verdict(State.INACTIVE, ok, "inactive: the node is not active")
        if not self.enabled:
            return Verdict(State.DISABLED, ok, "disabled by ~/enable")
        if not now_ns:
            return Verdict(State.NO_CLOCK, warn, "use_sim_time is true, but /clock has told no time yet")
        silence_s = None if self.last_received_ns is None else (now_ns - self.last_received_ns) / NS_PER_S
        silent = silence_s is None or silence_s > settings.stale_after_s
        if silent and self.incompatible_qos:
            return Verdict(State.INCOMPATIBLE_QOS, error, self.incompatible_qos)
        if silence_s is None:
            seen = f"{publishers} publisher(s)" if publishers else "no publisher"
            return Verdict(State.WAITING, warn, f"waiting for the first image on {self.topic}: {seen} found")
        if silent:
            return Verdict(
                State.STALE,
                error,
                f"no image on {self.topic} for {silence_s:.1f} s, expected one within {settings.stale_after_s:g} s",
            )
        if self.paused:
            return Verdict(State.PAUSED, ok, "paused: nobody subscribes to an output")
        if self.problem:
            return Verdict(self.problem[0], error, self.problem[1])
        if self.interleaved:
            return Verdict(State.TWO_PUBLISHERS, warn, self.interleaved)
        timing = self._timing(steady_ns, settings)
        if timing.state != State.OK:
            return timing
        if self.calibration:
            return Verdict(State.BAD_CALIBRATION, warn, self.calibration)
        if self.alarms:
            return Verdict(State.UNSTABLE, warn, f"unstable: {'; '.join(self.alarms.values())}")
        return timing

    def _timing(self, now_ns: int, settings: Settings) -> Verdict:
        allowed_ms = settings.max_allowed_processing_time_ms
        processing_ms, delay_ms = self.processing_ms(now_ns), self.delay_ms(now_ns, allowed_ms)
        if processing_ms is None or delay_ms is None or processing_ms <= allowed_ms:
            return Verdict(State.OK, DiagnosticStatus.OK, "ok")
        message = f"a frame took {processing_ms:.0f} ms, allowed are {allowed_ms:g} ms"
        if delay_ms <= settings.max_acceptable_consecutive_delay_ms:
            return Verdict(State.LATE, DiagnosticStatus.WARN, message)
        limit = settings.max_acceptable_consecutive_delay_ms
        return Verdict(
            State.LATE,
            DiagnosticStatus.ERROR,
            f"{message}; every frame has been late for {delay_ms:.0f} ms, acceptable are {limit:g} ms",
        )
