"""Intersection over union from counts of true against predicted classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels import IGNORE


class ConfusionMatrix:
    """Counts of true against predicted classes, summed over any number of images.

    Args:
        n: classes.

    Raises:
        ValueError: `n` is not 1 to 255.
    """

    def __init__(self, n: int) -> None:
        if not 1 <= n <= IGNORE:
            raise ValueError(f"confusion matrix of {n} classes, expected 1 to {IGNORE}")
        self.n = n
        self.matrix = np.zeros((n, n + 1), np.int64)
        """(n, n + 1): row = true class, column = predicted class; the last column is every other prediction."""

    def update(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one image.

        Args:
            pred: uint8 class ids; an id of `n` or more, 255 too, is an error like any other.
            truth: uint8 class ids of the same shape; pixels of 255 are left out.

        Raises:
            ValueError: shapes or types differ, or the truth holds an id between `n` and 254.
        """
        check_labels(pred, truth)
        # Every pair at once; the table is cut afterwards, so that no pixel needs a mask.
        pairs = truth.ravel().astype(np.uint16) << 8 | pred.ravel()
        counts = np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
        foreign = np.flatnonzero(counts[self.n : IGNORE].any(axis=1)) + self.n
        if foreign.size:
            raise ValueError(f"truth holds class ids {foreign.tolist()}, expected 0 to {self.n - 1} or {IGNORE}")
        self.matrix[:, : self.n] += counts[: self.n, : self.n]
        self.matrix[:, self.n] += counts[: self.n, self.n :].sum(axis=1)

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union per class, (n,) in 0..1; nan for a class that is in no truth."""
        square = self.matrix[:, : self.n]
        in_truth = self.matrix.sum(axis=1)
        union = in_truth + square.sum(axis=0) - square.diagonal()
        result = np.full(self.n, np.nan)
        np.divide(square.diagonal(), union, out=result, where=in_truth > 0)
        return result

    def miou(self) -> float:
        """Mean IoU over the classes that are in the truth, 0..1; nan if there is none."""
        iou = self.iou()
        present = ~np.isnan(iou)
        return float(iou[present].mean()) if present.any() else float("nan")


def check_labels(pred: NDArray[np.uint8], other: NDArray[np.uint8], before: NDArray[np.uint8] | None = None) -> None:
    """Raise ValueError unless a prediction fits what it is compared with, and the frame `before` in its run."""
    if pred.dtype != np.uint8 or other.dtype != np.uint8 or pred.shape != other.shape:
        raise ValueError(
            f"labels: found {pred.dtype} {pred.shape} against {other.dtype} {other.shape}, expected uint8 of one shape"
        )
    if before is not None and pred.shape != before.shape:
        raise ValueError(f"labels: found {pred.shape} after {before.shape}, expected one shape; `cut` between videos")
