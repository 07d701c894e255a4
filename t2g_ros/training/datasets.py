"""Labelled images on disk, held in memory as they come: what every kind of training clip is cut from."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.labels import IGNORE, LabelSpace

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class LabelledImage:
    """One image with its labels and its place in a drive."""

    rgb: np.ndarray
    """(H, W, 3) uint8."""
    labels: np.ndarray
    """(H, W) uint8 ids of the folder's label space, 255 = void."""
    sequence: str
    """Name of the drive, "" for stills."""
    time_s: float
    """Seconds within the drive."""


class LabelledFolder:
    """A folder with `images/` and `labels/`, a label having its image's stem.

    Args:
        path: the folder.
        space: label space of the label files.
        keep: half-open range of positions, in name order, that are used; None uses all.
        video_fps: the trailing number of a stem counts frames at this rate; 0 makes the images stills.

    Raises:
        InputError: a folder, label or pixel value is not as described; the message names the file.
    """

    def __init__(
        self, path: Path, space: LabelSpace, *, keep: tuple[int, int] | None = None, video_fps: float = 0.0
    ) -> None:
        folder = path / "images"
        if not folder.is_dir():
            raise InputError(f"training data {path}: no folder 'images' in it; expected images/ and labels/")
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
        files = files[slice(*keep)] if keep else files
        if not files:
            raise InputError(f"training data {folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        self.path = path
        self.space = space
        self.images = [self._read(file, video_fps) for file in files]

    def _read(self, file: Path, video_fps: float) -> LabelledImage:
        label_file = self.path / "labels" / f"{file.stem}.png"
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        labels = cv2.imread(str(label_file), cv2.IMREAD_UNCHANGED)
        if bgr is None:
            raise InputError(f"training image {file}: cannot be decoded")
        if labels is None:
            raise InputError(f"training labels {label_file}: missing or not a PNG")
        if labels.shape != bgr.shape[:2]:
            raise InputError(f"training labels {label_file}: shape {labels.shape}, image has {bgr.shape[:2]}")
        wrong = np.setdiff1d(labels, np.array([*range(len(self.space)), IGNORE]))
        if wrong.size:
            raise InputError(f"training labels {label_file}: id(s) {wrong.tolist()} are not in {self.space.name}")
        sequence, time_s = "", 0.0
        if video_fps:
            match = re.fullmatch(r"(.*?)_?(\d+)", file.stem)
            if match is None:
                raise InputError(f"training image {file}: the name does not end in a frame number")
            sequence, time_s = match[1], int(match[2]) / video_fps
        return LabelledImage(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), labels, sequence, time_s)

    def sha256(self) -> str:
        """Hash over all pixels and labels, for the training record."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.rgb)
            digest.update(image.labels)
        return digest.hexdigest()
