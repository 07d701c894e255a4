"""How stable the masks of a stream are, measured live and without labels: flicker, consistency, rate, and a map."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.types import NS_PER_S, Segmentation

FLOW_WIDTH = 256
"""Flow is computed on a grid at most this wide: whole masks have to be followed, not pixels."""
FLOW_GAP_S = 0.5
"""Across a longer gap a moving camera leaves too little in common for flow to be trusted."""
RETURN_PX = 1.0
"""A pixel is followed only if flow there and back ends within this distance on the flow's grid."""
FOLLOWED_SHARE = 0.25
"""With less of the image followed consistency says nothing; even unrelated images agree by chance on some."""


@dataclass(frozen=True, slots=True)
class Stability:
    """How one frame's mask relates to those before it."""

    map: NDArray[np.uint8]
    """(h, w) uint8 on the grid of `model_labels`: 255 where the label, followed by flow, did not change lately."""
    flicker: float | None
    """Share, 0..1, of pixels whose label differs from the frame before; None on the first."""
    consistency: float | None
    """Share, 0..1, of the pixels that flow can follow whose label was kept; None where flow cannot tell."""
    interval_s: float | None
    """Seconds since the frame segmented before (the effective stride); None on the first."""
    rate_hz: float | None
    """Segmented frames per second over the window; None on the first."""
    mean_flicker: float | None
    """`flicker` over the window."""
    mean_consistency: float | None
    """`consistency` over the window."""
    mean_confidence: float
    """Mean confidence of this frame, 0..1."""


class _Entry(NamedTuple):
    stamp_ns: int
    flicker: float | None
    consistency: float | None


class StabilityMonitor:
    """Follows the labels of one stream with cheap optical flow and remembers where they changed.

    Each pixel carries how recently its label changed, 1 at a change and fading with the true time; it moves with
    the flow. Both directions of flow are computed, and where they disagree (occlusion, no texture) nothing is
    counted as a change. Across gaps of more than `FLOW_GAP_S` no change is counted at all. The flow is DIS
    (arXiv 1603.03590).

    Args:
        window_s: seconds over which the means are taken; a change fades from the map to 1/e in a quarter of it.

    Raises:
        ValueError: the window is not positive.
    """

    def __init__(self, window_s: float = 2.0) -> None:
        if not window_s > 0:
            raise ValueError(f"window_s is {window_s}, expected more than 0")
        self._window_ns = round(window_s * NS_PER_S)
        self._fade_s = window_s / 4
        self._entries: deque[_Entry] = deque()
        self._tracker: _Tracker | None = None

    def reset(self) -> None:
        """Forget the stream; the next frame is a first one."""
        self._entries.clear()

    def update(self, segmentation: Segmentation) -> Stability:
        """Take the next segmented frame; one with a `reset_cause` starts afresh."""
        labels, stamp_ns = segmentation.model_labels, segmentation.frame.stamp_ns
        if self._tracker is None or self._tracker.shape != labels.shape:
            self._tracker = _Tracker(labels.shape)
            self.reset()
        if segmentation.reset_cause is not None:
            self.reset()
        flicker = consistency = interval_s = None
        if self._entries:
            interval_s = (stamp_ns - self._entries[-1].stamp_ns) / NS_PER_S
            flicker, consistency = self._tracker.advance(
                segmentation.frame.rgb, labels, math.exp(-interval_s / self._fade_s), follow=interval_s <= FLOW_GAP_S
            )
        else:
            self._tracker.start(segmentation.frame.rgb, labels)
        self._entries.append(_Entry(stamp_ns, flicker, consistency))
        # Two frames stay however far apart they are, so that a slow stream has a rate too.
        while len(self._entries) > 2 and stamp_ns - self._entries[0].stamp_ns > self._window_ns:
            self._entries.popleft()
        span_s = (stamp_ns - self._entries[0].stamp_ns) / NS_PER_S
        return Stability(
            map=self._tracker.map(),
            flicker=flicker,
            consistency=consistency,
            interval_s=interval_s,
            rate_hz=(len(self._entries) - 1) / span_s if span_s > 0 else None,
            mean_flicker=_mean([entry.flicker for entry in self._entries]),
            mean_consistency=_mean([entry.consistency for entry in self._entries]),
            mean_confidence=cv2.mean(segmentation.model_confidence)[0] / 255,
        )


class _Tracker:
    """The last frame's image, labels and recent changes, and the buffers to carry them to the next frame."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        h, w = shape
        factor = math.ceil(w / FLOW_WIDTH)
        low = h // factor, w // factor
        self._scale = np.array([w / low[1], h / low[0]], np.float32)  # from the flow's grid to the labels'
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._rgb = np.empty((h, w, 3), np.uint8)
        self._grey_full = np.empty(shape, np.uint8)
        self._grey, self._last_grey = np.empty(low, np.uint8), np.empty(low, np.uint8)
        self._labels, self._warped_labels = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        # How recently each pixel changed: 1 now, fading to 0. In float, since it fades by a fraction of 1/255 a frame.
        self._recent, self._warped_recent = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._ones = np.ones(shape, np.float32)
        self._changed = np.empty(shape, np.uint8)
        self._followed_low, self._followed = np.empty(low, np.bool_), np.empty(shape, np.uint8)
        self._forward, self._backward, self._where_low, self._back_again = np.zeros((4, *low, 2), np.float32)
        self._error = np.empty(low, np.float32)
        self._where = np.empty((*shape, 2), np.float32)
        self._grid_low, self._grid = _grid(low), _grid(shape)

    def start(self, rgb: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Take the first frame of a stream."""
        self._recent.fill(0)
        self._shrink(rgb)
        self._keep(labels)

    def advance(
        self, rgb: NDArray[np.uint8], labels: NDArray[np.uint8], fade: float, *, follow: bool
    ) -> tuple[float, float | None]:
        """Take the next frame; returns flicker and, if it is to be followed and can be, consistency."""
        self._shrink(rgb)
        cv2.compare(labels, self._labels, cv2.CMP_NE, dst=self._changed)
        flicker = cv2.countNonZero(self._changed) / labels.size
        consistency = self._follow(labels) if follow else None
        # Changes of this very frame have not faded yet.
        np.multiply(self._recent, fade, out=self._recent)
        if follow:
            cv2.copyTo(self._ones, self._changed, self._recent)
        self._keep(labels)
        return flicker, consistency

    def map(self) -> NDArray[np.uint8]:
        """Return (h, w) uint8, 255 = no recent change."""
        return np.asarray(cv2.convertScaleAbs(self._recent, alpha=-255, beta=255), np.uint8)

    def _shrink(self, rgb: NDArray[np.uint8]) -> None:
        # In two steps, because averaging straight down by an odd factor costs more than all of the flow.
        h, w = self.shape
        cv2.resize(rgb, (w, h), dst=self._rgb, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY, dst=self._grey_full)
        cv2.resize(self._grey_full, self._grey.shape[::-1], dst=self._grey, interpolation=cv2.INTER_AREA)

    def _keep(self, labels: NDArray[np.uint8]) -> None:
        np.copyto(self._labels, labels)
        self._grey, self._last_grey = self._last_grey, self._grey

    def _follow(self, labels: NDArray[np.uint8]) -> float | None:
        """Carry labels and recent changes along the flow, and leave in `_changed` which followed pixels changed."""
        h, w = self.shape
        # Zeroed, because DIS starts from what the buffer holds.
        self._backward.fill(0)
        self._forward.fill(0)
        self._dis.calc(self._grey, self._last_grey, self._backward)
        self._dis.calc(self._last_grey, self._grey, self._forward)
        np.add(self._backward, self._grid_low, out=self._where_low)
        _remap(self._forward, self._where_low, self._back_again, cv2.INTER_LINEAR, outside=1e6)
        np.add(self._back_again, self._backward, out=self._back_again)
        np.square(self._back_again, out=self._back_again)
        cv2.transform(self._back_again, np.ones((1, 2), np.float32), dst=self._error)
        np.less_equal(self._error, RETURN_PX**2, out=self._followed_low)
        cv2.resize(self._followed_low.view(np.uint8), (w, h), dst=self._followed, interpolation=cv2.INTER_NEAREST_EXACT)

        np.multiply(self._backward, self._scale, out=self._backward)
        cv2.resize(self._backward, (w, h), dst=self._where, interpolation=cv2.INTER_LINEAR)
        np.add(self._where, self._grid, out=self._where)
        _remap(self._labels, self._where, self._warped_labels, cv2.INTER_NEAREST)
        _remap(self._recent, self._where, self._warped_recent, cv2.INTER_NEAREST)
        self._recent, self._warped_recent = self._warped_recent, self._recent
        cv2.compare(labels, self._warped_labels, cv2.CMP_NE, dst=self._changed)
        cv2.bitwise_and(self._changed, self._followed, dst=self._changed)
        followed = cv2.countNonZero(self._followed)
        if followed < FOLLOWED_SHARE * labels.size:
            return None
        return 1 - cv2.countNonZero(self._changed) / followed


def _grid(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w, 2) float32: x and y of every pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([x, y], axis=-1)


def _remap(source: np.ndarray, where: np.ndarray, into: np.ndarray, how: int, outside: float = 0) -> None:
    border = cv2.BORDER_CONSTANT, (outside, outside)
    cv2.remap(source, where, None, how, into, *border)  # type: ignore[call-overload]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
