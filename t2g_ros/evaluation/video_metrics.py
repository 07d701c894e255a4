"""What the masks of a whole video are judged by, frame by frame: mVC, TC, and flicker where the truth is at rest.

Every accumulator is told of consecutive frames by `update` and of a break between them (a gap, another video) by
`cut`. It keeps a few maps of the size of one frame, however long the video and the window. Shares are 0..1, and
nan as long as nothing was counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.flow import Flow, carry
from t2g_ros.evaluation.metrics import ConfusionMatrix, flicker
from t2g_ros.labels import IGNORE


@dataclass
class Mean:
    """A mean that grows; the means of two halves merge by adding both fields."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Take in one value; nan, which says that there was nothing to measure, is left out."""
        if value == value:
            self.total += value
            self.count += 1

    @property
    def value(self) -> float:
        """The mean; nan if there were no values."""
        return self.total / self.count if self.count else float("nan")


class VideoConsistency:
    """Mean video consistency (mVC) over sliding windows of n frames, in both published variants.

    A pixel of a window is at rest if its truth is one and the same class, never 255, in all n frames.

    `mvc`, the variant of the domain-generalised protocol (DGVSS, Time2General): the share of the pixels at rest whose
    prediction equals the truth in all n frames. Mean over the L - n + 1 windows of a video, then over videos.

    `mvc_vspw`, as the code published with VSPW (Miao et al., CVPR 2021) counts: the share of the pixels at rest whose
    prediction is one and the same class in all n frames, right or wrong. Mean over the windows of all videos together,
    L - n of each: the last one is left out. Unlike there, pixels of 255 are no class: not in the truth, where they do
    not count, and not in a prediction, where they are not consistent.

    L is the length of a run of labelled frames without a break. A window without a pixel at rest does not count.

    Args:
        windows: the n to count for.

    Raises:
        ValueError: an n is not 1 to 255, or there is none.
    """

    def __init__(self, windows: Iterable[int] = (8, 16)) -> None:
        self.windows = tuple(windows)
        if not self.windows or not all(1 <= n <= 255 for n in self.windows):
            raise ValueError(f"mVC windows of {self.windows} frames, expected 1 to 255 each")
        self.past_videos = {n: Mean() for n in self.windows}
        """Of the videos before this one, per n."""
        self.video = {n: Mean() for n in self.windows}
        """Of the windows of this video, per n."""
        self.vspw = {n: Mean() for n in self.windows}
        """Of all windows but the last of each run, per n."""
        self._runs: _Runs | None = None
        self._last_vspw = dict.fromkeys(self.windows, float("nan"))

    def update(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8] | None) -> None:
        """Take in the next frame.

        Args:
            pred: (H, W) uint8 class ids.
            truth: (H, W) uint8 class ids; None, where the frame has no labels, breaks the windows as `cut` does.

        Raises:
            ValueError: the labels are not uint8, or not of one size since the last break.
        """
        if truth is None:
            self.cut()
            return
        _check(pred, truth, None if self._runs is None else self._runs.pred)
        if self._runs is None:
            self._runs = _Runs(pred, truth)
        self._runs.extend(pred, truth, max(self.windows))
        steady = np.minimum(self._runs.at_rest, self._runs.unchanged)
        correct = np.minimum(self._runs.at_rest, self._runs.correct)
        for n in self.windows:
            # Its successor is here: it was not the last.
            self.vspw[n].add(self._last_vspw[n])
            at_rest = np.count_nonzero(self._runs.at_rest >= n)
            if at_rest:
                self.video[n].add(np.count_nonzero(correct >= n) / at_rest)
            self._last_vspw[n] = np.count_nonzero(steady >= n) / at_rest if at_rest else float("nan")

    def cut(self) -> None:
        """Let no window reach over this point of the video."""
        self._runs = None
        self._last_vspw = dict.fromkeys(self.windows, float("nan"))

    def new_video(self) -> None:
        """Let the next frame be the first of another video."""
        self.cut()
        for n in self.windows:
            self.past_videos[n].add(self.video[n].value)
            self.video[n] = Mean()

    def mvc(self, n: int) -> float:
        """Share of the pixels at rest that are right throughout n frames; see the class."""
        videos = Mean(self.past_videos[n].total, self.past_videos[n].count)
        videos.add(self.video[n].value)
        return videos.value

    def mvc_vspw(self, n: int) -> float:
        """Share of the pixels at rest that are constant throughout n frames; see the class."""
        return self.vspw[n].value


class _Runs:
    """For how many frames up to now each pixel has been at rest, unchanged and correct, each (H, W) uint8.

    A window of n frames is full of something where its run is n or more, so that no earlier frame is needed.
    """

    def __init__(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        self.at_rest, self.unchanged, self.correct = (np.zeros(truth.shape, np.uint8) for _ in range(3))
        self.pred, self.truth = pred, truth

    def extend(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8], longest: int) -> None:
        labelled = truth != IGNORE
        correct = labelled & (pred == truth)
        for run, kept, holds in (
            (self.at_rest, truth == self.truth, labelled),
            (self.unchanged, pred == self.pred, pred != IGNORE),
            (self.correct, correct, correct),
        ):
            run *= kept
            np.minimum(run, longest - 1, out=run)
            run += holds
        # Copies: callers may use their arrays again.
        self.pred, self.truth = pred.copy(), truth.copy()


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
            _check(pred, self._pred)
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
        _check(pred, truth, None if self._last is None else self._last[0])
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


def _check(labels: NDArray[np.uint8], other: NDArray[np.uint8], before: NDArray[np.uint8] | None = None) -> None:
    if labels.dtype != np.uint8 or other.dtype != np.uint8 or labels.shape != other.shape:
        raise ValueError(
            f"labels: found {labels.dtype} {labels.shape} against {other.dtype} {other.shape}, "
            "expected uint8 of one shape"
        )
    if before is not None and labels.shape != before.shape:
        raise ValueError(f"labels: found {labels.shape} after {before.shape}, expected one shape; `cut` between videos")
