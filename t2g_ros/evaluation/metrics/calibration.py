"""How far a confidence can be taken at its word: expected calibration error (ECE) and its table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels import IGNORE

BINS = 15


class Bin(NamedTuple):
    """The pixels whose confidence lies in one of the intervals."""

    above: float
    """Confidences are greater than this, 0..1; the first bin also holds 0."""
    up_to: float
    """Confidences are at most this, 0..1."""
    pixels: int
    confidence: float
    """Mean confidence, 0..1; nan without pixels."""
    accuracy: float
    """Share of correct labels, 0..1; nan without pixels."""


class Calibration:
    """Confidence against accuracy, summed over any number of images.

    ECE = sum over `BINS` bins of equal width of pixels in the bin / pixels * |accuracy - mean confidence|
    (Naeini et al., AAAI 2015; bins as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3).
    The bins are made up at the end from counts for each of the 256 values that a confidence can have.
    """

    def __init__(self) -> None:
        self.counts = np.zeros((2, 256), np.int64)
        """(2, 256): pixels with a wrong (row 0) and with the right label (row 1), by confidence."""

    def update(self, pred: NDArray[np.uint8], confidence: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one image; pixels of 255 in the truth or in the prediction are left out.

        Args:
            pred: uint8 class ids.
            confidence: uint8 of the same shape, 255 = certain.
            truth: uint8 class ids of the same shape.

        Raises:
            ValueError: shapes or types differ.
        """
        if not pred.shape == confidence.shape == truth.shape or {pred.dtype, confidence.dtype, truth.dtype} != {
            np.dtype(np.uint8)
        }:
            raise ValueError(
                f"calibration: found labels {pred.dtype} {pred.shape}, confidence {confidence.dtype} "
                f"{confidence.shape}, truth {truth.dtype} {truth.shape}; expected uint8 of one shape"
            )
        # 0 wrong, 1 right, 2 and 3 left out: one count of pairs instead of masked copies.
        verdict = (pred == truth) | ((pred == IGNORE) | (truth == IGNORE)).view(np.uint8) << 1
        pairs = verdict.ravel().astype(np.uint16) << 8 | confidence.ravel()
        self.counts += np.bincount(pairs, minlength=1024).reshape(4, 256)[:2]

    def table(self) -> list[Bin]:
        """The `BINS` bins, from no confidence to certainty."""
        value = np.arange(256)
        # In integers, so that a confidence on an edge falls on its side of it: (m / BINS, (m + 1) / BINS].
        index = np.maximum((value * BINS + 254) // 255 - 1, 0)
        pixels, right, confidence = (
            np.bincount(index, weights, BINS)
            for weights in (self.counts.sum(axis=0), self.counts[1], self.counts.sum(axis=0) * value / 255)
        )
        return [
            Bin(m / BINS, (m + 1) / BINS, int(n), float(c / n) if n else np.nan, float(r / n) if n else np.nan)
            for m, (n, r, c) in enumerate(zip(pixels, right, confidence, strict=True))
        ]

    def ece(self) -> float:
        """Expected calibration error, 0..1, 0 = confidence is accuracy; nan if no pixel was counted."""
        filled = [b for b in self.table() if b.pixels]
        total = sum(b.pixels for b in filled)
        return sum(b.pixels * abs(b.accuracy - b.confidence) for b in filled) / total if total else float("nan")
