"""How a target latency is kept: levels of ever less work, and the choice among them. Knows times, and no engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from t2g_ros.types import NS_PER_S

SIDE = 64
"""Sides of the network's input are multiples of this."""
WINDOW = 5
"""Frames whose median counts as the latency: up to two slow ones among them are no reason to change anything."""
MARGIN = 0.85
"""A better level must be predicted to take no more than this share of the target."""
HOLD_S = 5.0
"""Seconds of the stream for which it must be so."""
LONGEST_HOLD_S = 60.0


@dataclass(frozen=True)
class Level:
    """What an engine computes per frame."""

    clip_frames: int
    """T, the frames that its memory holds."""
    input_size: tuple[int, int]
    """(height, width) of what the network sees."""

    def __str__(self) -> str:
        return f"clip {self.clip_frames}, {self.input_size[1]}x{self.input_size[0]}"


def levels_of(own: Level, lag: int = 0) -> list[Level]:
    """The model's own level, and those below it: the clip is halved first, then the input shrinks to 3/4 and 1/2.

    A clip keeps the segmented frame, those of the lag and one of the past. Sides are rounded down to multiples of 64,
    and where that changes nothing there is no level.
    """
    levels = [own]
    shortest = min(own.clip_frames, lag + 2)
    while levels[-1].clip_frames > shortest:
        levels.append(Level(max((levels[-1].clip_frames + 1) // 2, shortest), own.input_size))
    for quarters in (3, 2):
        height, width = (max(side * quarters // (4 * SIDE) * SIDE, SIDE) for side in own.input_size)
        if (height, width) != levels[-1].input_size:
            levels.append(Level(shortest, (height, width)))
    return levels


class Deadline:
    """Chooses the best level that keeps a latency.

    Of a frame's latency one part scales with the level and the rest, such as the conversion of the image, does not. The
    load of the machine, what the first part takes over what it takes on the idle machine, is supposed to hold at any
    level; so a level is predicted to take the rest and its own cost times the load.

    A latency above the target is answered at once, by the first level that is predicted to meet it. The way back is one
    level at a time, when the better level has been predicted to stay well below the target for `HOLD_S`. The prediction
    may be wrong, for a slow engine also lets frames wait: if a better level does not last for as long as it was waited
    for, the next wait is twice as long, up to `LONGEST_HOLD_S`.

    Args:
        target_ms: the latency to keep, milliseconds.
        costs_ms: what a frame costs on the idle machine at each level, milliseconds; the best level first.

    Raises:
        ValueError: a value is not positive, or there is no level.
    """

    def __init__(self, target_ms: float, costs_ms: Sequence[float]) -> None:
        if not target_ms > 0:
            raise ValueError(f"target_ms is {target_ms}, expected more than 0")
        if not costs_ms or min(costs_ms) <= 0:
            raise ValueError(f"costs_ms is {list(costs_ms)}, expected one or more, all above 0")
        self.target_ms = target_ms
        self.level = 0
        """Index of the level to segment with."""
        self.switches = 0
        """How often the level changed."""
        self.latency_ms: float | None = None
        """Median of the last frames' latencies, None until there are enough since the last change."""
        # Lower levels are less work: one that seemed dearer was disturbed while it was measured.
        self._costs_ms = list(accumulate(costs_ms, min))
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._hold_s = HOLD_S
        self._calm_since_ns: int | None = None  # from when on the better level is predicted to do
        self._raised_ns: int | None = None  # when the level last got better, if it has not got worse since

    @property
    def missed(self) -> bool:
        """Whether the target is missed and there is no lower level."""
        return self.level == len(self._costs_ms) - 1 and (self.latency_ms or 0.0) > self.target_ms

    def observe(self, stamp_ns: int, scaling_ms: float, rest_ms: float) -> bool:
        """Take the latency of a frame; return whether the level has changed.

        Args:
            stamp_ns: stamp of the frame, nanoseconds; the stream's time.
            scaling_ms: the part of its latency that scales with the level, milliseconds.
            rest_ms: the rest of it.
        """
        self._recent.append((scaling_ms, rest_ms))
        if len(self._recent) < WINDOW:
            return False
        self.latency_ms = self._predicted_ms(self.level)
        if self.latency_ms > self.target_ms:
            return self._go_down(stamp_ns)
        return self._go_up(stamp_ns)

    def _predicted_ms(self, level: int) -> float:
        ratio = self._costs_ms[level] / self._costs_ms[self.level]
        return median(scaling_ms * ratio + rest_ms for scaling_ms, rest_ms in self._recent)

    def _go_down(self, stamp_ns: int) -> bool:
        self._calm_since_ns = None
        last = len(self._costs_ms) - 1
        if self.level == last:
            return False
        if self._raised_ns is not None:
            lasted = 0 <= stamp_ns - self._raised_ns < self._hold_s * NS_PER_S
            self._hold_s = min(2 * self._hold_s, LONGEST_HOLD_S) if lasted else HOLD_S
            self._raised_ns = None
        lower = range(self.level + 1, last)
        self._change(next((level for level in lower if self._predicted_ms(level) <= self.target_ms), last))
        return True

    def _go_up(self, stamp_ns: int) -> bool:
        if self.level == 0 or self._predicted_ms(self.level - 1) > MARGIN * self.target_ms:
            self._calm_since_ns = None
            return False
        if self._calm_since_ns is None or stamp_ns < self._calm_since_ns:
            self._calm_since_ns = stamp_ns
        if stamp_ns - self._calm_since_ns < self._hold_s * NS_PER_S:
            return False
        self._raised_ns, self._calm_since_ns = stamp_ns, None
        self._change(self.level - 1)
        return True

    def _change(self, level: int) -> None:
        self.level = level
        self.switches += 1
        self.latency_ms = None
        self._recent.clear()
