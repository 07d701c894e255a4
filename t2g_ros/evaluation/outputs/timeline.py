"""The figures of every frame of a recording, in the order of the drive."""

from __future__ import annotations

from typing import Any

from t2g_ros.evaluation.replay.judge import FrameFigures
from t2g_ros.evaluation.replay.loop import Shot
from t2g_ros.types import NS_PER_S, Segmentation

SERIES = ("flicker", "flicker_compensated", "truth_flicker", "pixel_accuracy")


class Timeline:
    """An observer that keeps the figures of every frame.

    Args:
        whose: keys that say whose figures they are: input, model, mode, condition.
    """

    def __init__(self, **whose: str) -> None:
        self._whose = whose
        self._stamps_ns: list[int] = []
        self._series: dict[str, list[float | None]] = {name: [] for name in SERIES}

    def __call__(
        self, shot: Shot, segmentation: Segmentation, figures: FrameFigures, truth_flicker: tuple[float, float]
    ) -> None:
        """Take the next frame."""
        self._stamps_ns.append(shot.frame.stamp_ns)
        values = (figures.flicker, figures.flicker_compensated, truth_flicker[0], figures.pixel_accuracy)
        for name, value in zip(SERIES, values, strict=True):
            self._series[name].append(round(100 * value, 3) if value == value else None)

    def to_json(self) -> dict[str, Any]:
        """Return `time_s`, since the first frame, and the series in percent, None where there is nothing."""
        time_s = [round((stamp - self._stamps_ns[0]) / NS_PER_S, 6) for stamp in self._stamps_ns]
        return {**self._whose, "time_s": time_s, **self._series}
