"""Flicker without motion: labels are carried along optical flow before they are compared. For offline use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.metrics.flicker import flicker
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
DIS_WIDTH = 640
"""DIS runs on frames shrunk to at most this width: above it costs more than the network does."""
OUTSIDE = -1000.0
FAR_PX = 1e6
RETURN_PX = 1.0
"""A pixel is followed only if flow back and forth returns to within this distance."""


@dataclass(frozen=True)
class Flow:
    """Where the pixels of a frame were in the frame before."""

    backward: NDArray[np.float32]
    """(H, W, 2): x and y steps from a pixel of the current frame to its place in the previous one."""
    followed: NDArray[np.bool_]
    """(H, W): the place lies inside the previous frame, and the flow from there leads back here."""

    @cached_property
    def places(self) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        """Maps for `cv2.remap` to the nearest pixel, outside of the frame where a pixel is not followed."""
        where = np.full_like(self.backward, OUTSIDE)
        cv2.copyTo(cv2.add(self.backward, _grid(*self.followed.shape)), self.followed.view(np.uint8), where)
        return cv2.convertMaps(where, None, cv2.CV_16SC2, nninterpolation=True)  # type: ignore


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
    factor = math.ceil(w / DIS_WIDTH)
    # DIS needs some pixels to build its pyramid from.
    small = max(w // factor, 16), max(h // factor, 16)
    if small != (w, h):
        prev, cur = (np.asarray(cv2.resize(g, small, interpolation=cv2.INTER_AREA), np.uint8) for g in (prev, cur))
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    scale = np.array([w / small[0], h / small[1]], np.float32)

    def dense(at: NDArray[np.uint8], to: NDArray[np.uint8]) -> NDArray[np.float32]:
        flow = dis.calc(at, to, None)  # type: ignore[call-overload]
        return np.asarray(flow if small == (w, h) else cv2.resize(flow, (w, h)) * scale, np.float32)

    backward, forward = dense(cur, prev), dense(prev, cur)
    return _checked(backward, forward), _checked(forward, backward)


class Method(NamedTuple):
    """A way to compute flow between two frames."""

    both: Callable[[NDArray[np.uint8], NDArray[np.uint8]], tuple[Flow, Flow]]
    description: str
    """For the reader of a report."""


METHODS = {
    "dis": Method(
        dis_both,
        f"DIS (OpenCV, preset fast, at most {DIS_WIDTH} px wide), forward and backward; pixels that return to within "
        f"{RETURN_PX:g} px are followed",
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
    if prev_labels.shape != flow.followed.shape:
        raise ValueError(f"labels {prev_labels.shape}, expected the size of the flow {flow.followed.shape}")
    places, fractions = flow.places
    carried = cv2.remap(
        prev_labels, places, fractions, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE
    )
    return np.asarray(carried, np.uint8)


def compensated_flicker(prev_labels: NDArray[np.uint8], cur_labels: NDArray[np.uint8], flow: Flow) -> float:
    """Share, 0..1, of the followed pixels labelled in both frames whose label changed; nan if there is none."""
    return flicker(carry(prev_labels, flow), cur_labels)


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


def _checked(flow: NDArray[np.float32], opposite: NDArray[np.float32]) -> Flow:
    where = cv2.add(flow, _grid(*flow.shape[:2]))
    # What leads outside returns from far away.
    far = (FAR_PX, FAR_PX)
    back = cv2.remap(opposite, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=far)  # type: ignore
    missed = cv2.add(back, flow)
    squared = cv2.transform(cv2.multiply(missed, missed), np.ones((1, 2), np.float32))
    return Flow(flow, squared < RETURN_PX**2)
