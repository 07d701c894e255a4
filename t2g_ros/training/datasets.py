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
    labels: np.ndarray | None
    """(H, W) uint8 ids of the folder's label space, 255 = void; None where the image has no label file."""
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
        sparse: an image without a label file is an unlabelled frame, not an error.

    Raises:
        InputError: a folder, label or pixel value is not as described; the message names the file.
    """

    def __init__(
        self,
        path: Path,
        space: LabelSpace,
        *,
        keep: tuple[int, int] | None = None,
        video_fps: float = 0.0,
        sparse: bool = False,
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
        self.images = [self._read(file, video_fps, sparse) for file in files]
        if all(image.labels is None for image in self.images):
            raise InputError(f"training data {path / 'labels'}: holds no label of the {len(files)} images")

    def _read(self, file: Path, video_fps: float, sparse: bool) -> LabelledImage:
        label_file = self.path / "labels" / f"{file.stem}.png"
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None:
            raise InputError(f"training image {file}: cannot be decoded")
        labels = None if sparse and not label_file.exists() else self._read_labels(label_file, bgr.shape[:2])
        sequence, time_s = "", 0.0
        if video_fps:
            match = re.fullmatch(r"(.*?)_?(\d+)", file.stem)
            if match is None:
                raise InputError(f"training image {file}: the name does not end in a frame number")
            sequence, time_s = match[1], int(match[2]) / video_fps
        return LabelledImage(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), labels, sequence, time_s)

    def _read_labels(self, file: Path, size: tuple[int, ...]) -> np.ndarray:
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if labels is None:
            raise InputError(f"training labels {file}: missing or not a PNG")
        if labels.shape != size:
            raise InputError(f"training labels {file}: shape {labels.shape}, image has {size}")
        wrong = np.setdiff1d(labels, np.array([*range(len(self.space)), IGNORE]))
        if wrong.size:
            raise InputError(f"training labels {file}: id(s) {wrong.tolist()} are not in {self.space.name}")
        return labels

    def sha256(self) -> str:
        """Hash over all pixels and labels, for the training record."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.rgb)
            digest.update(b"unlabelled" if image.labels is None else image.labels)
        return digest.hexdigest()
