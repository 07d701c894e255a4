"""Temporal consistency (TC) along optical flow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix, check_labels
from t2g_ros.flow import Flow, carry
from t2g_ros.labels import IGNORE


class TemporalConsistency:
    """TC: mIoU between the prediction at t and the prediction at t + 1 brought back to t along optical flow.

    One confusion matrix over all pairs of consecutive frames of all videos, mean over the classes that occur on either
    side (Liu et al., "Efficient Semantic Video Segmentation with Per-frame Inference", ECCV 2020; pooled as in VSPW's
    code). No truth is needed. Only pixels that are labelled in both and that the flow can follow count; there RAFT
    over all pixels is used, so figures compare only under one flow.

    Args:
        n: classes.

    Raises:
        ValueError: `n` is not 1 to 255.
    """

    def __init__(self, n: int) -> None:
        self.confusion = ConfusionMatrix(n)
        """Rows: classes at t; columns: classes brought back from t + 1."""
        self._pred: NDArray[np.uint8] | None = None

    def update(self, pred: NDArray[np.uint8], flow: Flow | None) -> None:
        """Take in the next frame.

        Args:
            pred: (H, W) uint8 class ids.
            flow: where the pixels of the frame before are in this one, `farneback(cur, prev)` or the second of
                `farneback_both(prev, cur)`. Not used on the first frame of a run; None breaks the run.

        Raises:
            ValueError: the sizes differ, or the frame before holds an id between `n` and 254.
        """
        if self._pred is not None and flow is not None:
            check_labels(pred, self._pred)
            brought_back = carry(pred, flow)
            self.confusion.update(brought_back, np.where(brought_back == IGNORE, brought_back, self._pred))
        self._pred = pred.copy()

    def cut(self) -> None:
        """Do not compare the next frame with the last."""
        self._pred = None

    def tc(self) -> float:
        """Mean IoU, 0..1, over the classes that occurred; nan if no pixel could be compared."""
        matrix = self.confusion.matrix
        occurred = matrix.any(axis=1) | matrix[:, :-1].any(axis=0)
        # A class of one side only has no overlap; `iou` calls that nan where the class is never in a row.
        return float(np.nan_to_num(self.confusion.iou())[occurred].mean()) if occurred.any() else float("nan")
