"""What one row of figures is made of: counts and sums that add up over streams, recordings and processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from t2g_ros.evaluation.metrics.mean import Mean

MEANS = (
    "flicker",
    "flicker_compensated",
    "flicker_stable",
    "truth_flicker",
    "truth_flicker_compensated",
    "mvc8",
    "mvc16",
    "mvc8_vspw",
    "mvc16_vspw",
)


@dataclass
class Counts:
    """Everything that is counted for one model and mode under one condition; `+=` merges.

    Sums of floats are merged in the order of the recordings, so that any number of processes comes to the same last
    bit as one does.

    Args:
        classes: of the label space that is judged in.
    """

    classes: int
    confusion: np.ndarray = field(init=False)
    """(classes, classes + 1) int64, see `ConfusionMatrix.matrix`."""
    tc: np.ndarray = field(init=False)
    """(classes, classes + 1) int64, of `TemporalConsistency`."""
    calibration: np.ndarray = field(init=False)
    """(2, 256) int64, see `Calibration.counts`."""
    means: dict[str, Mean] = field(default_factory=lambda: {name: Mean() for name in MEANS})
    masks: int = 0
    """Frames that were segmented."""
    reference_frames: int = 0
    """Frames that were compared with ground truth."""
    stage_ms: dict[str, list[float]] = field(default_factory=dict)
    """Milliseconds of every frame by stage."""
    resets: Counter[str] = field(default_factory=Counter)
    """Times that the memory was emptied, by cause."""

    def __post_init__(self) -> None:
        self.confusion, self.tc = (np.zeros((self.classes, self.classes + 1), np.int64) for _ in range(2))
        self.calibration = np.zeros((2, 256), np.int64)

    def __iadd__(self, other: Counts) -> Counts:
        self.confusion += other.confusion
        self.tc += other.tc
        self.calibration += other.calibration
        for name, mean in other.means.items():
            self.means[name].total += mean.total
            self.means[name].count += mean.count
        self.masks += other.masks
        self.reference_frames += other.reference_frames
        for stage, times in other.stage_ms.items():
            self.stage_ms.setdefault(stage, []).extend(times)
        self.resets += other.resets
        return self

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which `from_json` makes an equal object."""
        return {
            "classes": self.classes,
            "confusion": self.confusion.tolist(),
            "tc": self.tc.tolist(),
            "calibration": self.calibration.tolist(),
            "means": {name: [mean.total, mean.count] for name, mean in self.means.items()},
            "masks": self.masks,
            "reference_frames": self.reference_frames,
            "stage_ms": self.stage_ms,
            "resets": dict(self.resets),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Counts:
        """Return the counts that `to_json` described."""
        counts = cls(values["classes"])
        for name in ("confusion", "tc", "calibration"):
            getattr(counts, name)[:] = values[name]
        counts.means = {name: Mean(*mean) for name, mean in values["means"].items()}
        counts.masks, counts.reference_frames = values["masks"], values["reference_frames"]
        counts.stage_ms, counts.resets = values["stage_ms"], Counter(values["resets"])
        return counts
