"""The few values that every layer speaks: what goes into a segmenter and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image with the time at which it was taken.

    The stamp is kept in integer nanoseconds, so that the mask goes out under exactly the stamp
    that came in; a float of seconds since 1970 resolves only about 240 ns.
    """

    rgb: np.ndarray
    """(H, W, 3) uint8, contiguous rows."""
    stamp_ns: int
    """Acquisition time from the message header, nanoseconds."""
    frame_id: str = ""
    """Optical frame of the camera, copied to every output."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What one step of a `StreamSegmenter` says about one frame."""

    frame: Frame
    """The frame these labels belong to; with a lag it is older than the frame last put in."""
    labels: np.ndarray
    """(H, W) uint8 class ids, 255 = unlabeled, at output resolution."""
    model_confidence: np.ndarray
    """(h', w') uint8, 255 = certain, on a grid of the network's own."""
    model_labels: np.ndarray
    """(h, w) uint8 class ids on the network's own output grid, before any resize."""
    clip_frames: int
    """How many frames the memory held for this output, the segmented one included."""
    clip_span_s: float
    """Seconds between the oldest and the newest frame in the memory."""
    reset_cause: str | None = None
    """Why the memory was emptied just before this frame, None if it was not."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Disjoint wall-clock stages in milliseconds: preprocess, encode, decode, postprocess."""

    @property
    def confidence(self) -> np.ndarray:
        """(H, W) uint8, 255 = certain, same size as `labels`; made anew at each call, since few ask for it."""
        height, width = self.labels.shape
        return cv2.resize(self.model_confidence, (width, height), interpolation=cv2.INTER_LINEAR)
