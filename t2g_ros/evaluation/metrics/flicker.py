"""Flicker: how many labels change from one frame to the next, along optical flow, and where the truth is at rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.metrics.confusion import check_labels
from t2g_ros.evaluation.metrics.mean import Mean
from t2g_ros.flow import Flow, carry
from t2g_ros.labels import IGNORE


def flicker(prev: NDArray[np.uint8], cur: NDArray[np.uint8]) -> float:
    """Share, 0..1, of the pixels labelled in both frames whose label changed; nan if no pixel is.

    Raises:
        ValueError: the shapes differ.
    """
    if prev.shape != cur.shape:
        raise ValueError(f"flicker: labels {prev.shape} and {cur.shape}, expected one shape")
    labelled = (prev != IGNORE) & (cur != IGNORE)
    total = np.count_nonzero(labelled)
    return np.count_nonzero((prev != cur) & labelled) / total if total else float("nan")


def compensated_flicker(prev_labels: NDArray[np.uint8], cur_labels: NDArray[np.uint8], flow: Flow) -> float:
    """Share, 0..1, of the followed pixels labelled in both frames whose label changed; nan if there is none."""
    return flicker(carry(prev_labels, flow), cur_labels)


class StableFlicker:
    """Flicker where the truth stands still: share of the pixels of one class in the truth of two frames in a row,
    labelled in both predictions, whose predicted label changed; mean over the pairs of frames.

    What remains of the flicker when motion of the scene is taken out by the truth instead of by flow.
    """

    def __init__(self) -> None:
        self.pairs = Mean()
        self._last: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None

    def update(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8] | None) -> float:
        """Take in the next frame and return its own share, 0..1, against the frame before; nan if there is none.

        Args:
            pred: (H, W) uint8 class ids.
            truth: (H, W) uint8 class ids; None, where the frame has no labels, breaks the run as `cut` does.

        Raises:
            ValueError: the labels are not uint8, or not of one size since the last break.
        """
        if truth is None:
            self.cut()
            return float("nan")
        share = float("nan")
        check_labels(pred, truth, None if self._last is None else self._last[0])
        if self._last is not None:
            last_pred, last_truth = self._last
            at_rest = (truth == last_truth) & (truth != IGNORE)
            share = flicker(last_pred, np.where(at_rest, pred, np.uint8(IGNORE)))
            self.pairs.add(share)
        self._last = pred.copy(), truth.copy()
        return share

    def cut(self) -> None:
        """Do not compare the next frame with the last."""
        self._last = None

    def flicker(self) -> float:
        """Mean share, 0..1, over the pairs of frames; nan if there is none."""
        return self.pairs.value
