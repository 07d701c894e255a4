"""Compares the masks of a stream with ground truth and with each other, frame by frame."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.metrics.calibration import Calibration
from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.evaluation.metrics.consistency import VideoConsistency
from t2g_ros.evaluation.metrics.flicker import StableFlicker, compensated_flicker, flicker
from t2g_ros.evaluation.metrics.temporal import TemporalConsistency
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.flow import Flow
from t2g_ros.labels import IGNORE
from t2g_ros.types import Segmentation

WINDOWS = (8, 16)


class Flows(NamedTuple):
    """Between a frame and the one before it in its stream."""

    backward: Flow
    """Where the pixels of this frame were."""
    forward: Flow
    """Where the pixels of the frame before are now."""


class FrameFigures(NamedTuple):
    """What one frame says, shares 0..1; nan where there is nothing to say it from."""

    flicker: float
    flicker_compensated: float
    pixel_accuracy: float


class TruthFlicker:
    """How much the ground truth itself changes from frame to frame: what no prediction can go below honestly."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None

    def update(self, truth: NDArray[np.uint8] | None, flows: Flows | None) -> tuple[float, float]:
        """Take the next frame's labels, None without; returns raw and compensated flicker, 0..1 or nan."""
        last, self._last = self._last, truth
        # Flow says that the frames belong together and are of one size.
        if last is None or truth is None or flows is None:
            return float("nan"), float("nan")
        return flicker(last, truth), compensated_flicker(last, truth, flows.backward)


class Judge:
    """Judges one model and mode on the streams of one recording under one condition.

    Args:
        classes: of the label space that is judged in.
        table: (256,) uint8, `remap_table` from the model's label space to that one.
    """

    def __init__(self, classes: int, table: NDArray[np.uint8]) -> None:
        self._table = table
        self._counts = Counts(classes)
        self._confusion = ConfusionMatrix(classes)
        self._calibration = Calibration()
        self._tc = TemporalConsistency(classes)
        self._consistency = VideoConsistency(WINDOWS)
        self._stable = StableFlicker()
        self._last: NDArray[np.uint8] | None = None

    def start_stream(self) -> None:
        """Let the next frame be the first of another stream."""
        self._cut()

    def update(
        self,
        segmentation: Segmentation,
        truth: NDArray[np.uint8] | None,
        flows: Flows | None,
        truth_flicker: tuple[float, float],
        *,
        judges: bool,
    ) -> FrameFigures:
        """Take the next mask of a stream.

        Args:
            segmentation: at the size of its frame.
            truth: (H, W) uint8 ids of the space that is judged in; None without.
            flows: against the frame before; None if this is the first or of another size.
            truth_flicker: of `TruthFlicker` for the same frame.
            judges: whether the frame counts towards accuracy, see `Condition.judges`.
        """
        mask = np.asarray(cv2.LUT(segmentation.labels, self._table), np.uint8)
        if segmentation.reset_cause is not None or flows is None:
            self._cut()
            flows = None
        counts = self._counts
        raw = compensated = accuracy = float("nan")
        if flows is not None and self._last is not None:
            raw, compensated = flicker(self._last, mask), compensated_flicker(self._last, mask, flows.backward)
            for name, value in zip(("truth_flicker", "truth_flicker_compensated"), truth_flicker, strict=True):
                counts.means[name].add(value)
        counts.means["flicker"].add(raw)
        counts.means["flicker_compensated"].add(compensated)
        self._last = mask
        self._tc.update(mask, flows.forward if flows is not None else None)
        self._consistency.update(mask, truth)
        self._stable.update(mask, truth)
        if truth is not None:
            known = np.count_nonzero(truth != IGNORE)
            accuracy = np.count_nonzero((mask == truth) & (truth != IGNORE)) / known if known else float("nan")
            if judges:
                self._confusion.update(mask, truth)
                self._calibration.update(mask, segmentation.confidence, truth)
                counts.reference_frames += 1
        counts.masks += 1
        for stage, milliseconds in segmentation.stage_ms.items():
            counts.stage_ms.setdefault(stage, []).append(milliseconds)
        return FrameFigures(raw, compensated, accuracy)

    def add_resets(self, resets: Counter[str]) -> None:
        """Count the times that a stream's memory was emptied, by cause."""
        self._counts.resets += resets

    def counts(self) -> Counts:
        """Return what was counted; the recording is over with that."""
        counts = self._counts
        self._consistency.new_video()
        counts.confusion, counts.calibration = self._confusion.matrix, self._calibration.counts
        counts.tc = self._tc.confusion.matrix
        counts.means["flicker_stable"] = self._stable.pairs
        for n in WINDOWS:
            counts.means[f"mvc{n}"] = self._consistency.past_videos[n]
            counts.means[f"mvc{n}_vspw"] = self._consistency.vspw[n]
        return counts

    def _cut(self) -> None:
        self._last = None
        self._tc.cut()
        self._consistency.cut()
        self._stable.cut()
