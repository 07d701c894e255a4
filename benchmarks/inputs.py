"""What the benchmarks run on: frames of a real drive, or rendered ones where there is none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measure import size_text
from numpy.typing import NDArray
from real_drives import DATA

from t2g_ros.sources import open_source
from t2g_ros.training.synthetic import Drive

FPS = 15
CAMVID = DATA / "camvid" / "val"
SEED, STYLE = 52, "day"
"""Of the rendered drive; training draws its seeds from 1000 to 1999."""


@dataclass(frozen=True)
class Input:
    """Successive frames at `FPS`."""

    source: str
    frames: list[NDArray[np.uint8]]
    """(H, W, 3) RGB."""

    def resized(self, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
        """The frames as a network of that (height, width) takes them."""
        return [_resized(frame, size) for frame in self.frames]

    def described(self) -> dict[str, Any]:
        """Where the frames are from, and the sha256 of their pixels in order."""
        digest = hashlib.sha256()
        for frame in self.frames:
            digest.update(frame.tobytes())
        size = size_text((self.frames[0].shape[0], self.frames[0].shape[1]))
        return {"source": self.source, "frames": len(self.frames), "size": size, "sha256": digest.hexdigest()}


def input_frames(count: int, size: tuple[int, int], folder: Path = CAMVID) -> Input:
    """Return the first frames of the recording in `folder`, or without it of a rendered drive, of (height, width)."""
    if folder.is_dir():
        recorded = islice(open_source(frames=folder, fps=FPS, label_space="camvid11"), count)
        return Input("/".join(folder.parts[-2:]), [_resized(item.frame.rgb, size) for item in recorded])
    drive = Drive(SEED, STYLE, size)
    return Input(f"rendered drive {SEED}, {STYLE}", [drive.render(k / FPS)[0] for k in range(count)])


def _resized(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    shrinks = size[0] < frame.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, size[::-1], interpolation=how), np.uint8)
