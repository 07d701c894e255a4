"""A clip on its way to the network: as its source gives it, and as the network takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from t2g_ros.labels import LabelSpace


@dataclass(frozen=True)
class RawClip:
    """Frames of one drive in order of time, before augmentation."""

    images: list[np.ndarray]
    """T x (H, W, 3) uint8."""
    labels: list[np.ndarray]
    """T x (H, W) uint8, all 255 in a frame that is not labelled."""
    times_s: np.ndarray
    """(T,) seconds."""
    space: LabelSpace
    needs_motion: bool
    """True when the T frames are one still, so the augmentation has to move the camera."""
    anchor: int = 0
    """A labelled frame: the one for which the clip was drawn."""
    wanted_class: int | None = None
    """Class of the anchor that the crop should show."""


@dataclass(frozen=True)
class TrainClip:
    """One clip as the network takes it."""

    images: np.ndarray
    """(T, h, w, 3) uint8."""
    labels: np.ndarray
    """(T, h / 2, w / 2) uint8, at the stride of the network's output."""
    times_s: np.ndarray
    """(T,) seconds, rising, the last frame the newest."""
    space: LabelSpace
    seed: int = 0
    """For what the loss draws at random for this clip."""
