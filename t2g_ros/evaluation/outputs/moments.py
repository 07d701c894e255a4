"""The moments of a recording at which its masks flicker most, with pictures to look at."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.drawing import overlay
from t2g_ros.evaluation.replay.judge import FrameFigures
from t2g_ros.evaluation.replay.loop import Shot
from t2g_ros.evaluation.report import Moment
from t2g_ros.labels import LabelSpace, remap_table
from t2g_ros.types import NS_PER_S, Segmentation

SHOWN = 6
APART_S = 1
"""Of each second of the recording one moment is shown at most."""
TINT = 0.7
PICTURE_WIDTH = 480
JPEG_QUALITY = 80


def moment_to_json(moment: Moment) -> dict[str, Any]:
    """Return plain values, from which `moment_from_json` makes an equal moment."""
    pictures = {caption: base64.b64encode(jpeg).decode() for caption, jpeg in moment.pictures.items()}
    return {**vars(moment), "pictures": pictures}


def moment_from_json(values: dict[str, Any]) -> Moment:
    """Return the moment that `moment_to_json` described."""
    pictures = {caption: base64.b64decode(text) for caption, text in values["pictures"].items()}
    return Moment(**{**values, "pictures": pictures})


class _Kept(NamedTuple):
    """A frame of which pictures may be needed."""

    time_s: float
    shot: Shot
    mask: NDArray[np.uint8]
    stability: NDArray[np.uint8]
    truth_flicker: float


class WorstMoments:
    """Keeps the `SHOWN` frames whose labels changed most where flow can follow, and no more, however long the drive.

    Args:
        recording: name of the recording.
        labels: classes of the masks.
        space: classes in which masks and ground truth are judged, and shown.
    """

    def __init__(self, recording: str, labels: LabelSpace, space: LabelSpace) -> None:
        self._input = recording
        self._table = remap_table(labels, space)
        self._space = space
        self._first_ns: int | None = None
        self._worst: dict[int, tuple[float, _Kept]] = {}

    def add(
        self,
        shot: Shot,
        segmentation: Segmentation,
        figures: FrameFigures,
        truth_flicker: tuple[float, float],
        stability: NDArray[np.uint8],
    ) -> None:
        """Take the next frame; (h, w) uint8 stability, 255 = stable."""
        stamp_ns = shot.frame.stamp_ns
        if self._first_ns is None:
            self._first_ns = stamp_ns
        time_s = (stamp_ns - self._first_ns) / NS_PER_S
        score = figures.flicker_compensated
        second = int(time_s // APART_S)
        rivals = [second] if second in self._worst else list(self._worst) if len(self._worst) == SHOWN else []
        weakest = min(rivals, key=lambda s: self._worst[s][0], default=None)
        # Not a number is not worse than anything.
        if not score > (self._worst[weakest][0] if weakest is not None else 0.0):
            return
        if weakest is not None:
            del self._worst[weakest]
        mask = np.take(self._table, segmentation.labels)
        self._worst[second] = score, _Kept(time_s, shot._replace(flows=None), mask, stability, truth_flicker[1])

    def moments(self) -> list[tuple[float, Moment]]:
        """The share, 0..1, of the followed pixels that changed and the moment, the worst first."""
        worst = sorted(self._worst.values(), key=lambda pair: -pair[0])
        return [(score, self._moment(score, kept)) for score, kept in worst]

    def _moment(self, score: float, kept: _Kept) -> Moment:
        shot = kept.shot
        what = f"{100 * score:.1f} % of the followed pixels changed their class"
        if kept.truth_flicker == kept.truth_flicker:
            what += f", in the ground truth {100 * kept.truth_flicker:.1f} %"
        pictures = {"image": shot.frame.rgb, "mask": overlay(shot.frame.rgb, kept.mask, self._space, TINT)}
        if shot.truth is not None:
            pictures["ground truth"] = overlay(shot.frame.rgb, shot.truth, self._space, TINT)
        unstable = cv2.applyColorMap(255 - kept.stability, cv2.COLORMAP_INFERNO)
        pictures["stability"] = np.asarray(cv2.cvtColor(unstable, cv2.COLOR_BGR2RGB), np.uint8)
        jpegs = {caption: _jpeg(picture, shot.frame.size) for caption, picture in pictures.items()}
        return Moment(self._input, round(kept.time_s, 3), shot.item.name, what, jpegs)


def _jpeg(rgb: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    width = min(PICTURE_WIDTH, size[1])
    height = max(1, round(size[0] * width / size[1]))
    how = cv2.INTER_AREA if rgb.shape[1] > width else cv2.INTER_NEAREST
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (width, height), interpolation=how)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
