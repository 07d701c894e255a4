"""Dense optical flow between two frames, checked forward against backward. For offline use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels import IGNORE

FARNEBACK = {
    "pyr_scale": 0.5,
    "levels": 4,
    "winsize": 25,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.1,
    "flags": 0,
}
"""With these the ground truth of the CamVid validation drive flickers by 2.74 % (4.97 % before compensation)."""
DIS_PRESET = cv2.DISOPTICAL_FLOW_PRESET_FAST
DIS_WIDTH = 400
"""DIS runs on frames of half their size, and of at most this width: of CamVid's ground truth 3.0 % flicker then, 2.9 %
at full size and with Farneback, but it takes a third of the time."""
OUTSIDE = -1000
FAR_PX = 1e6
RETURN_PX = 1.0
"""A pixel is followed only if flow back and forth returns to within this distance on the flow's grid."""


@dataclass(frozen=True)
class Flow:
    """Where the pixels of a frame were in the frame before, on a grid of (h, w) that may be coarser than the frames.

    Args:
        size: (H, W) of the frames; None where the grid is theirs.
    """

    backward: NDArray[np.float32]
    """(h, w, 2): x and y steps from a pixel of the current frame to its place in the previous one, in grid pixels."""
    followed: NDArray[np.bool_]
    """(h, w): the place lies inside the previous frame, and the flow from there leads back here."""
    size: tuple[int, int] | None = None

    def at(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The flow on a grid of its own.

        Args:
            size: (h, w) of the grid, which lies over the same frames.

        Returns:
            (h, w, 2) float32: for every pixel of the current frame its place in the previous one, x and y in pixels of
            the grid; (h, w) uint8: 1 where it is followed.
        """
        grid = self.followed.shape[0], self.followed.shape[1]
        height, width = size
        flow, followed = self.backward, self.followed.view(np.uint8)
        if grid != size:
            stretch = np.diag([width / grid[1], height / grid[0]])  # NumPy takes ten times as long
            flow = np.asarray(cv2.resize(cv2.transform(flow, stretch), (width, height)), np.float32)
            followed = np.asarray(
                cv2.resize(followed, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8
            )
        return np.asarray(cv2.add(flow, _grid(height, width)), np.float32), followed

    @cached_property
    def places(self) -> NDArray[np.int16]:
        """(H, W, 2): for every pixel of the current frame the nearest one of the previous, outside if not followed.

        It is the flow at the frames' size, as the map that `cv2.remap` is fastest with.
        """
        where, followed = self.at(self.size or (self.followed.shape[0], self.followed.shape[1]))
        nearest, _ = cv2.convertMaps(where, None, cv2.CV_16SC2, nninterpolation=True)  # type: ignore[call-overload]
        return np.asarray(cv2.copyTo(nearest, followed, np.full_like(nearest, OUTSIDE)), np.int16)


def farneback(prev_rgb: NDArray[np.uint8], cur_rgb: NDArray[np.uint8]) -> Flow:
    """Dense flow between two (H, W, 3) uint8 frames, checked forward against backward (Farneback, SCIA 2003).

    Raises:
        ValueError: the frames are not of one size.
    """
    return _checked(*_dense(prev_rgb, cur_rgb))


def farneback_both(prev_rgb: NDArray[np.uint8], cur_rgb: NDArray[np.uint8]) -> tuple[Flow, Flow]:
    """`farneback(prev_rgb, cur_rgb)` and `farneback(cur_rgb, prev_rgb)` for hardly more than the price of one.

    With the second, labels of the current frame are carried back to the places of the previous one.

    Raises:
        ValueError: the frames are not of one size.
    """
    backward, forward = _dense(prev_rgb, cur_rgb)
    return _checked(backward, forward), _checked(forward, backward)


def dis_both(prev_rgb: NDArray[np.uint8], cur_rgb: NDArray[np.uint8]) -> tuple[Flow, Flow]:
    """As `farneback_both`, by Dense Inverse Search (Kroeger et al., ECCV 2016): faster, a little coarser.

    Raises:
        ValueError: the frames are not of one size.
    """
    prev, cur = _grey(prev_rgb, cur_rgb)
    h, w = prev.shape
    factor = max(2, math.ceil(w / DIS_WIDTH))
    # DIS needs some pixels to build its pyramid from.
    small = max(w // factor, 16), max(h // factor, 16)
    prev, cur = (np.asarray(cv2.resize(grey, small, interpolation=cv2.INTER_AREA), np.uint8) for grey in (prev, cur))
    # An object of its own for each, since it would go on from the last result.
    backward, forward = (
        np.asarray(cv2.DISOpticalFlow.create(DIS_PRESET).calc(at, to, None), np.float32)  # type: ignore[call-overload]
        for at, to in ((cur, prev), (prev, cur))
    )
    return _checked(backward, forward, (h, w)), _checked(forward, backward, (h, w))


class Method(NamedTuple):
    """A way to compute flow between two frames."""

    both: Callable[[NDArray[np.uint8], NDArray[np.uint8]], tuple[Flow, Flow]]
    description: str
    """For the reader of a report."""


METHODS = {
    "dis": Method(
        dis_both,
        f"DIS (OpenCV, preset fast, on frames of half their size or of {DIS_WIDTH} px width), forward and backward; "
        f"pixels that return to within {RETURN_PX:g} px there are followed",
    ),
    "farneback": Method(
        farneback_both,
        f"Farneback (OpenCV, window {FARNEBACK['winsize']}, {FARNEBACK['levels']} levels), forward and backward; "
        f"pixels that return to within {RETURN_PX:g} px are followed",
    ),
}
"""Flows to choose from; figures compare only under one of them."""


def carry(prev_labels: NDArray[np.uint8], flow: Flow) -> NDArray[np.uint8]:
    """Labels (H, W) of the previous frame at the places of the current one; 255 where flow cannot follow.

    Raises:
        ValueError: the labels are not of the flow's size.
    """
    if prev_labels.shape != flow.places.shape[:2]:
        raise ValueError(f"labels {prev_labels.shape}, expected the size of the flow {flow.places.shape[:2]}")
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": IGNORE}
    carried = cv2.remap(prev_labels, flow.places, None, cv2.INTER_NEAREST, **border)  # type: ignore[call-overload]
    return np.asarray(carried, np.uint8)


@lru_cache(maxsize=4)
def _grid(h: int, w: int) -> NDArray[np.float32]:
    """(h, w, 2): x and y of every pixel."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return np.stack([x, y], axis=-1)


def _dense(prev_rgb: NDArray[np.uint8], cur_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow from current to previous and from previous to current, (H, W, 2) each."""
    prev, cur = _grey(prev_rgb, cur_rgb)
    backward = cv2.calcOpticalFlowFarneback(cur, prev, None, **FARNEBACK)  # type: ignore[call-overload]
    forward = cv2.calcOpticalFlowFarneback(prev, cur, None, **FARNEBACK)  # type: ignore[call-overload]
    return backward, forward


def _grey(prev_rgb: NDArray[np.uint8], cur_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if prev_rgb.shape != cur_rgb.shape:
        raise ValueError(f"flow between frames {prev_rgb.shape} and {cur_rgb.shape}, expected one size")
    prev, cur = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (prev_rgb, cur_rgb))
    return np.asarray(prev, np.uint8), np.asarray(cur, np.uint8)


def _checked(flow: NDArray[np.float32], opposite: NDArray[np.float32], size: tuple[int, int] | None = None) -> Flow:
    where = cv2.add(flow, _grid(*flow.shape[:2]))
    # What leads outside returns from far away.
    far = (FAR_PX, FAR_PX)
    back = cv2.remap(opposite, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=far)  # type: ignore
    missed = cv2.add(back, flow)
    squared = cv2.transform(cv2.multiply(missed, missed), np.ones((1, 2), np.float32))
    return Flow(flow, squared < RETURN_PX**2, size)
