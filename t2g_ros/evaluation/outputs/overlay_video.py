"""The overlay video: camera image with the classes over it, how stable each pixel is, and the legend."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.drawing import legend, overlay
from t2g_ros.labels import LabelSpace

X264 = {"crf": "21", "preset": "superfast"}
"""Files a third larger than of `veryfast`, in two thirds of the time, which an evaluation pays for every frame."""
MAX_PANEL_WIDTH = 960
"""Wider frames are shown smaller: the video is to be looked at, the masks are in the bag."""


class OverlayVideo:
    """Writes an H.264 file, one picture per segmented frame; use as a context manager.

    Args:
        path: the `.mp4` to write.
        space: classes of the labels.
        fps: pictures per second.
    """

    def __init__(self, path: Path, space: LabelSpace, fps: float) -> None:
        self._space = space
        self._container = av.open(str(path), "w")
        self._rate = Fraction(fps).limit_denominator(1000)
        self._stream: av.VideoStream | None = None

    def add(self, rgb: NDArray[np.uint8], labels: NDArray[np.uint8], stability: NDArray[np.uint8] | None) -> None:
        """Append a picture.

        Args:
            rgb: (H, W, 3) uint8.
            labels: (h, w) uint8, of any size.
            stability: (h, w) uint8, 255 = stable; None leaves its panel black.
        """
        picture = self.picture(rgb, labels, stability)
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", self._rate, X264)
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        if picture.shape[:2] != (self._stream.height, self._stream.width):
            # The camera changed its size in the middle; a video cannot.
            size = self._stream.width, self._stream.height
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))

    def picture(
        self, rgb: NDArray[np.uint8], labels: NDArray[np.uint8], stability: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """Return what `add` appends, (h, w, 3) uint8 with even sides as H.264 wants them."""
        scale = min(1.0, MAX_PANEL_WIDTH / rgb.shape[1])
        size = (even(rgb.shape[1] * scale), even(rgb.shape[0] * scale))
        left = cv2.resize(overlay(rgb, labels, self._space), size, interpolation=cv2.INTER_AREA)
        right = np.zeros_like(left)
        if stability is not None:
            unstable = cv2.resize(255 - stability, size, interpolation=cv2.INTER_NEAREST)
            right = cv2.cvtColor(cv2.applyColorMap(unstable, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
        names = legend(self._space, left.shape[1])
        names = np.pad(names, ((0, names.shape[0] % 2), (0, left.shape[1]), (0, 0)))
        text = "stability: black = label unchanged, bright = flickering"
        place = (left.shape[1] + 6, 13)
        cv2.putText(names, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
        return np.vstack([np.hstack([left, right]), names])

    def __enter__(self) -> OverlayVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def even(length: float) -> int:
    """Return the nearest even number, at least 2."""
    return max(2, 2 * round(length / 2))
