"""Where training clips come from: labelled video, stills that are given motion, and rendered drives.

All of them return raw frames with their true times; `augment` turns those into network input. The
strides are drawn at random (Time2General), in seconds, so that the network meets every frame rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np

from t2g_ros.labels import CITYSCAPES19, LabelSpace
from t2g_ros.training.clip import RawClip
from t2g_ros.training.drives import Drive, Footage, labelled_frames
from t2g_ros.training.rare_classes import RareClassSampler

VIDEO_STRIDES = (1, 2, 3, 4, 5)
"""Frame strides of clips of a video (Time2General)."""
STRIDES = (1, 2, 3, 5, 10, 15)
"""Frame strides, in units of 1/30 s, of clips whose frame rate is ours to choose."""
BASE_FPS = 30.0
MAX_GAP_S = 2.5
"""No clip of a video reaches over a longer pause between two frames."""


class ClipSource(Protocol):
    """Draws one clip of `frames` frames; the same generator state gives the same clip."""

    space: LabelSpace

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip: ...

    def fingerprint(self) -> str:
        """What the clips are cut from, so that a run is never resumed on other data."""


class Paster(Protocol):
    """Puts something into a labelled still."""

    def paste(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, int | None]:
        """Return image and labels with it, and the class that the crop should show, if any."""


class _Anchors:
    """The labelled frames that clips are drawn for: all alike, or those that show rare classes more often."""

    def __init__(self, footage: Footage, rare: RareClassSampler | None) -> None:
        self.frames = labelled_frames(footage.drives)
        self.rare = rare

    def draw(self, rng: np.random.Generator) -> tuple[Drive, int, int | None]:
        """Return drive, index and, with rare-class sampling, the class that the frame was drawn for."""
        if self.rare is None:
            return *self.frames[rng.integers(len(self.frames))], None
        return self.rare.draw(rng)


class VideoClips:
    """Clips of video of which every frame is labelled, or only some: the others take part as memory.

    Every clip is drawn for a labelled frame, which lies at a random place inside it, so that memories of many lengths
    are supervised also where one frame in thirty has labels. It is not the clip's first or last frame, if that has
    three: the first one is not supervised, and a clip may be played backwards.

    Args:
        footage: the drives.
        strides: frame strides to draw from.
        rare: rare-class sampling over the labelled frames of the footage.
    """

    def __init__(
        self, footage: Footage, strides: tuple[int, ...] = VIDEO_STRIDES, rare: RareClassSampler | None = None
    ) -> None:
        self.space = footage.space
        self.fingerprint = footage.fingerprint
        self.strides = strides
        self.anchors = _Anchors(footage, rare)

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip:
        """A labelled frame with others a random stride apart; at a cut the last frame before it is repeated."""
        drive, anchor, wanted = self.anchors.draw(rng)
        stride = int(rng.choice(self.strides))
        place = int(rng.integers(1, frames - 1) if frames > 2 else rng.integers(frames))
        first, last = _between_cuts(drive.times_s, anchor)
        steps = np.arange(frames) - place
        steps = steps.clip(-((anchor - first) // stride), (last - anchor) // stride)
        indices = (anchor + steps * stride).tolist()
        read = {index: drive.load(index) for index in dict.fromkeys(indices)}
        images, labels = zip(*(read[index] for index in indices), strict=True)
        times = drive.times_s[indices]
        return RawClip([*images], [*labels], times, self.space, False, anchor=place, wanted_class=wanted)


def _between_cuts(times_s: np.ndarray, index: int) -> tuple[int, int]:
    """First and last frame of the run around `index` in which no pause is longer than `MAX_GAP_S`."""
    cuts = np.flatnonzero(np.diff(times_s) > MAX_GAP_S)
    at = int(np.searchsorted(cuts, index))
    return int(cuts[at - 1]) + 1 if at else 0, int(cuts[at]) if at < len(cuts) else len(times_s) - 1


class StillClips:
    """Clips made of one labelled still each; the augmentation simulates the ego-motion.

    Args:
        footage: the stills, or video whose labelled frames are taken as such.
        strides: to draw from, in units of 1/30 s.
        rare: as of `VideoClips`.
        pasted: what is pasted in, each with its probability; the last of them says what a crop should show.
    """

    def __init__(
        self,
        footage: Footage,
        strides: tuple[int, ...] = STRIDES,
        rare: RareClassSampler | None = None,
        pasted: Sequence[tuple[Paster, float]] = (),
    ) -> None:
        self.space = footage.space
        self.fingerprint = footage.fingerprint
        self.strides = strides
        self.anchors = _Anchors(footage, rare)
        self.pasted = pasted

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip:
        """The same image `frames` times, a random stride apart."""
        drive, index, wanted = self.anchors.draw(rng)
        image, labels = drive.load(index)
        for paster, chance in self.pasted:
            if rng.random() < chance:
                image, labels, shown = paster.paste(image, labels, rng)
                wanted = wanted if shown is None else shown
        times = np.arange(frames) * rng.choice(self.strides) / BASE_FPS
        return RawClip([image] * frames, [labels] * frames, times, self.space, True, wanted_class=wanted)


class RenderedClips:
    """Clips of procedural drives, exactly labelled at any stride.

    Args:
        render: `render(seed, style, times_s)` -> images and labels of one drive.
        styles: domains to draw from.
        seeds: half-open range of drive seeds.
        space: label space of what is given out.
        table: (256,) uint8, from the Cityscapes ids of `render` to those of `space`.
        strides: to draw from, in units of 1/30 s.
    """

    def __init__(
        self,
        render: Callable[[int, str, np.ndarray], tuple[list[np.ndarray], list[np.ndarray]]],
        styles: tuple[str, ...],
        seeds: tuple[int, int],
        space: LabelSpace = CITYSCAPES19,
        table: np.ndarray | None = None,
        strides: tuple[int, ...] = STRIDES,
    ) -> None:
        self.render = render
        self.styles = styles
        self.seeds = seeds
        self.space = space
        self.table = np.arange(256, dtype=np.uint8) if table is None else table
        self.strides = strides

    def clip(self, rng: np.random.Generator, frames: int) -> RawClip:
        """A run of frames at a random place of a random drive, a random stride apart."""
        seed, style = int(rng.integers(*self.seeds)), str(rng.choice(self.styles))
        times = rng.uniform(0.0, 20.0) + np.arange(frames) * rng.choice(self.strides) / BASE_FPS
        images, labels = self.render(seed, style, times)
        return RawClip(images, [cv2.LUT(ids, self.table) for ids in labels], times, self.space, False)

    def fingerprint(self) -> str:
        """The first frame of the first drive: the renderer itself may have changed."""
        images, labels = self.render(self.seeds[0], self.styles[0], np.zeros(1))
        return hashlib.sha256(images[0].tobytes() + labels[0].tobytes()).hexdigest()
