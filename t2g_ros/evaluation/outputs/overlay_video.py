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

X264 = {"crf": "24", "preset": "ultrafast"}
"""Twice the file of `veryfast` in a third of its time, which an evaluation and a demo pay for every frame."""
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
        self._canvas = np.zeros((0, 0, 3), np.uint8)
        self._panel = 0, 0

    def add(self, rgb: NDArray[np.uint8], labels: NDArray[np.uint8], stability: NDArray[np.uint8] | None) -> None:
        """Append a picture.

        Args:
            rgb: (H, W, 3) uint8.
            labels: (h, w) uint8, of any size.
            stability: (h, w) uint8, 255 = stable; None leaves its panel black.
        """
        picture = self._draw(rgb, labels, stability)
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", self._rate, X264)
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        if picture.shape[:2] != (self._stream.height, self._stream.width):
            # The camera changed its size in the middle; a video cannot.
            size = self._stream.width, self._stream.height
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        # OpenCV needs a tenth of FFmpeg's time for it.
        yuv = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(yuv, format="yuv420p")))

    def _draw(
        self, rgb: NDArray[np.uint8], labels: NDArray[np.uint8], stability: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """The two panels on the canvas, which is drawn on again for the next frame."""
        scale = min(1.0, MAX_PANEL_WIDTH / rgb.shape[1])
        width, height = even(rgb.shape[1] * scale), even(rgb.shape[0] * scale)
        if (width, height) != self._panel:
            self._panel = width, height
            self._canvas = _canvas(width, height, self._space)
        if rgb.shape[:2] != (height, width):
            rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        self._canvas[:height, :width] = overlay(rgb, labels, self._space)
        right = self._canvas[:height, width:]
        if stability is None:
            right[:] = 0
        else:
            unstable = cv2.applyColorMap(cv2.bitwise_not(stability), cv2.COLORMAP_INFERNO)
            unstable = cv2.resize(unstable, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            cv2.cvtColor(unstable, cv2.COLOR_BGR2RGB, dst=right)
        return self._canvas

    def __enter__(self) -> OverlayVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def _canvas(width: int, height: int, space: LabelSpace) -> NDArray[np.uint8]:
    """Return room for two panels of that size over the legend; its sides are even, as H.264 wants them."""
    names = legend(space, width)
    canvas = np.zeros((height + even(names.shape[0] + 1), 2 * width, 3), np.uint8)
    canvas[height : height + names.shape[0], :width] = names
    text = "stability: black = label unchanged, bright = flickering"
    white = (255, 255, 255)
    cv2.putText(canvas, text, (width + 6, height + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, white, 1, cv2.LINE_AA)
    return canvas


def even(length: float) -> int:
    """Return the nearest even number, at least 2."""
    return max(2, 2 * round(length / 2))
