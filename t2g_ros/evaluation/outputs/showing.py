"""What one looks at after a replay, made on the way: overlay video, bag of masks, worst moments."""

from __future__ import annotations

from t2g_ros.evaluation.outputs.mask_bag import MaskBagWriter
from t2g_ros.evaluation.outputs.moments import WorstMoments
from t2g_ros.evaluation.outputs.overlay_video import OverlayVideo
from t2g_ros.evaluation.replay.judge import FrameFigures
from t2g_ros.evaluation.replay.loop import Shot
from t2g_ros.inference.stability import StabilityMonitor
from t2g_ros.types import Segmentation


class Showing:
    """An observer that measures stability as the live node does and passes it on with the masks.

    Args:
        moments: is always kept.
        video: None for none.
        bag: None for none.
    """

    def __init__(self, moments: WorstMoments, video: OverlayVideo | None, bag: MaskBagWriter | None) -> None:
        self._moments = moments
        self._video = video
        self._bag = bag
        self._monitor = StabilityMonitor()

    def __call__(
        self, shot: Shot, segmentation: Segmentation, figures: FrameFigures, truth_flicker: tuple[float, float]
    ) -> None:
        """Take the next frame."""
        stability = self._monitor.update(segmentation).map
        self._moments.add(shot, segmentation, figures, truth_flicker, stability)
        if self._video is not None:
            self._video.add(shot.frame.rgb, segmentation.labels, stability)
        if self._bag is not None:
            self._bag.add(segmentation, stability)
