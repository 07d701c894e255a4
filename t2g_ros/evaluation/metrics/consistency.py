"""Mean video consistency (mVC), frame by frame."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.metrics.confusion import check_labels
from t2g_ros.evaluation.metrics.mean import Mean
from t2g_ros.labels import IGNORE

LONGEST = 255
"""Frames of a window at most: runs are counted in uint8."""


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
    Shares are 0..1, and nan as long as there is none. However long the windows and the video, five maps of the size of
    a frame are kept.

    Args:
        windows: the n to count for.

    Raises:
        ValueError: an n is not 1 to 255, or there is none.
    """

    def __init__(self, windows: Iterable[int] = (8, 16)) -> None:
        self.windows = tuple(windows)
        if not self.windows or not all(1 <= n <= LONGEST for n in self.windows):
            raise ValueError(f"mVC windows of {self.windows} frames, expected 1 to {LONGEST} each")
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
        check_labels(pred, truth, None if self._runs is None else self._runs.pred)
        if self._runs is None:
            self._runs = _Runs(pred, truth)
        self._runs.extend(pred, truth)
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
    """For how many frames up to now each pixel has been at rest, unchanged and correct, each (H, W), up to `LONGEST`.

    A window of n frames is full of something where its run is n or more, so that no earlier frame is needed.
    """

    def __init__(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        self.at_rest, self.unchanged, self.correct = (np.zeros(truth.shape, np.uint8) for _ in range(3))
        self.pred, self.truth = pred, truth

    def extend(self, pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        labelled = truth != IGNORE
        correct = labelled & (pred == truth)
        for run, kept, holds in (
            (self.at_rest, truth == self.truth, labelled),
            (self.unchanged, pred == self.pred, pred != IGNORE),
            (self.correct, correct, correct),
        ):
            run *= kept
            np.minimum(run, LONGEST - 1, out=run)
            run += holds
        # Copies: callers may use their arrays again.
        self.pred, self.truth = pred.copy(), truth.copy()
