"""Where training clips come from: labelled video, stills that are given motion, and rendered drives.

All of them return raw frames with their true times; `augment` turns those into network input. The
strides are drawn at random (Time2General), in seconds, so that the network meets every frame rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np

from t2g_ros.labels import CITYSCAPES19, LabelSpace
from t2g_ros.training.datasets import LabelledFolder

STRIDES = (1, 2, 3, 5, 10, 15)
"""Frame strides, in units of 1/30 s, of clips whose frame rate is ours to choose."""
BASE_FPS = 30.0


@dataclass(frozen=True)
class RawClip:
    """Frames of one drive in order of time, before augmentation."""

    images: list[np.ndarray]
    """T x (H, W, 3) uint8."""
    labels: list[np.ndarray]
    """T x (H, W) uint8."""
    times_s: np.ndarray
    """(T,) seconds."""
    space: LabelSpace
    needs_motion: bool
    """True when the T frames are one still, so the augmentation has to move the camera."""


class ClipSource(Protocol):
    """Draws one clip of `frames` frames; the same generator state gives the same clip."""

    space: LabelSpace

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip: ...

    def fingerprint(self) -> str:
        """What the clips are cut from, so that a run is never resumed on other data."""


class VideoClips:
    """Clips of a video whose frames are labelled, however sparsely; unlabelled frames are not used."""

    def __init__(self, folder: LabelledFolder, max_step: int = 2, max_gap_s: float = 2.5) -> None:
        self.space = folder.space
        self.fingerprint = folder.sha256
        self.max_step = max_step
        self.max_gap_s = max_gap_s
        ordered = sorted(folder.images, key=lambda i: (i.sequence, i.time_s))
        self.drives = [list(drive) for _, drive in groupby(ordered, key=lambda i: i.sequence)]
        self.starts = [(d, i) for d, drive in enumerate(self.drives) for i in range(len(drive))]

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip:
        """A run of neighbouring labelled frames; it ends early at a cut and then repeats its last frame."""
        which, at = self.starts[rng.integers(len(self.starts))]
        drive = self.drives[which]
        step = int(rng.integers(1, self.max_step + 1))
        picked = [drive[at]]
        while len(picked) < frames:
            at = at + step
            if at >= len(drive) or drive[at].time_s - picked[-1].time_s > self.max_gap_s * step:
                picked.append(picked[-1])
            else:
                picked.append(drive[at])
        times = np.array([p.time_s for p in picked])
        return RawClip([p.rgb for p in picked], [p.labels for p in picked], times, self.space, False)


class StillClips:
    """Clips made of one labelled still each; the augmentation simulates the ego-motion."""

    def __init__(self, folder: LabelledFolder) -> None:
        self.space = folder.space
        self.fingerprint = folder.sha256
        self.images = folder.images

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip:
        """The same image `frames` times, a random stride apart."""
        still = self.images[rng.integers(len(self.images))]
        times = np.arange(frames) * rng.choice(STRIDES) / BASE_FPS
        return RawClip([still.rgb] * frames, [still.labels] * frames, times, self.space, True)


class RenderedClips:
    """Clips of procedural drives, exactly labelled at any stride.

    Args:
        render: `render(seed, style, times_s)` -> images and labels of one drive.
        styles: domains to draw from.
        seeds: half-open range of drive seeds.
    """

    space = CITYSCAPES19

    def __init__(
        self,
        render: Callable[[int, str, np.ndarray], tuple[list[np.ndarray], list[np.ndarray]]],
        styles: tuple[str, ...],
        seeds: tuple[int, int],
    ) -> None:
        self.render = render
        self.styles = styles
        self.seeds = seeds

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip:
        """A run of frames at a random place of a random drive, a random stride apart."""
        seed, style = int(rng.integers(*self.seeds)), str(rng.choice(self.styles))
        times = rng.uniform(0.0, 20.0) + np.arange(frames) * rng.choice(STRIDES) / BASE_FPS
        images, labels = self.render(seed, style, times)
        return RawClip(images, labels, times, self.space, False)

    def fingerprint(self) -> str:
        """The first frame of the first drive: the renderer itself may have changed."""
        images, labels = self.render(self.seeds[0], self.styles[0], np.zeros(1))
        return hashlib.sha256(images[0].tobytes() + labels[0].tobytes()).hexdigest()
