"""Drives that clips are cut from and validation runs over: labelled folders in memory, data sets read as needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.labels import IGNORE, LabelSpace, remap_table, space
from t2g_ros.labels.groups import GROUPS
from t2g_ros.sources.datasets import DATASETS, DatasetSource
from t2g_ros.training.config import ConfigError, DataConfig
from t2g_ros.training.datasets import LabelledFolder, LabelledImage
from t2g_ros.types import NS_PER_S


class Drive(Protocol):
    """Frames of one camera in order of time, some or all of them labelled."""

    name: str
    times_s: np.ndarray
    """(N,) seconds."""
    labelled: np.ndarray
    """(N,) bool."""

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (H, W, 3) uint8 RGB and (H, W) uint8 ids, all 255 where the frame is not labelled."""

    def labels(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids of a labelled frame."""


@dataclass(frozen=True)
class Footage:
    """All drives of one source."""

    drives: list[Drive]
    space: LabelSpace
    """Of the labels as they are given out."""
    fingerprint: Callable[[], str]
    """What the drives consist of, so that a run is never resumed on other data."""


def open_footage(data: DataConfig, base: Path, model_space: LabelSpace, *, video: bool) -> Footage:
    """Open a source's drives.

    Args:
        data: where they lie and how.
        base: folder that relative paths start from.
        model_space: label space of the network. Labels that are finer than it are brought into it; coarser ones stay
            as they are and supervise sums of classes.
        video: whether the names of a folder's files are to be read as frame numbers.

    Raises:
        ConfigError: the layout is unknown, or neither label space maps onto the other.
        InputError: the data is not as described; the message names the file.
    """
    path = base / data.path
    if data.layout == "folder":
        where, table = supervision(space(data.labels), model_space, f"training data {path}")
        fps = data.video_fps if video else 0.0
        folder = LabelledFolder(path, space(data.labels), keep=data.keep, video_fps=fps, sparse=data.sparse and video)
        ordered = sorted(folder.images, key=lambda i: (i.sequence, i.time_s))
        runs = [list(run) for _, run in groupby(ordered, key=lambda i: i.sequence)]
        return Footage([FolderDrive(run, table) for run in runs], where, folder.sha256)
    if data.layout not in DATASETS:
        raise ConfigError(f"training data {path}: layout '{data.layout}', expected folder or {', '.join(DATASETS)}")
    sources = _chosen(data, path)
    labelled = next((source.label_space for source in sources if source.label_space is not None), None)
    if labelled is None:
        raise InputError(f"training data {path}: none of the {len(sources)} sequence(s) chosen has labels")
    where, table = supervision(labelled, model_space, f"training data {path}")
    return Footage([DatasetDrive(source, table) for source in sources], where, lambda: listing_hash(sources))


def _chosen(data: DataConfig, path: Path) -> list[DatasetSource]:
    """The sequences of a data set whose names fit one of the patterns."""
    if not path.is_dir():
        raise InputError(f"training data {path}: not a folder; expected the root of {data.layout}")
    found = DATASETS[data.layout](path)
    chosen = [source for source in found if any(fnmatch(source.sequence, pattern) for pattern in data.sequences)]
    if not chosen:
        raise InputError(
            f"training data {path}: no sequence fits {', '.join(data.sequences)}; "
            f"there are {len(found)}, such as {found[0].sequence}"
        )
    return chosen


def supervision(labels: LabelSpace, model: LabelSpace, where: str) -> tuple[LabelSpace, np.ndarray]:
    """Return the space in which these labels teach this network, and the (256,) uint8 table that brings them there.

    Raises:
        ConfigError: neither maps onto the other; the message starts with `where`.
    """
    if labels.name == model.name or (model.name, labels.name) in GROUPS:
        return labels, np.arange(256, dtype=np.uint8)
    try:
        return model, remap_table(labels, model)
    except ValueError:
        raise ConfigError(
            f"{where}: labels are {labels.name}, the model predicts {model.name}, and no mapping between these is known"
        ) from None


def listing_hash(sources: list[DatasetSource]) -> str:
    """SHA-256 over names and sizes of all files: a data set has hundreds of GB, too many to read at every start."""
    digest = hashlib.sha256()
    for source in sources:
        for frame in source.frames:
            for path in (frame.image, frame.labels):
                if path is not None:
                    digest.update(f"{path.relative_to(source.path).as_posix()}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


def labelled_frames(drives: list[Drive]) -> list[tuple[Drive, int]]:
    """Every labelled frame, as (drive, index)."""
    return [(drive, int(index)) for drive in drives for index in np.flatnonzero(drive.labelled)]


class FolderDrive:
    """A run of images that are held in memory."""

    def __init__(self, images: list[LabelledImage], table: np.ndarray) -> None:
        self.name = images[0].sequence
        self.images = images
        self.table = table
        self.times_s = np.array([image.time_s for image in images])
        self.labelled = np.array([image.labels is not None for image in images])

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Drive.load`."""
        return self.images[index].rgb, self.labels(index)

    def labels(self, index: int) -> np.ndarray:
        """See `Drive.labels`; all 255 where the frame is not labelled."""
        image = self.images[index]
        return _unlabelled(image.rgb) if image.labels is None else cv2.LUT(image.labels, self.table)


class DatasetDrive:
    """A sequence of a data set in its official layout; files are read when a clip needs them."""

    def __init__(self, source: DatasetSource, table: np.ndarray) -> None:
        self.name = source.sequence
        self.source = source
        self.table = table
        # Relative to the first frame: stamps since 1970 would not keep their microseconds in a float.
        stamps = np.array([frame.stamp_ns for frame in source.frames], np.int64)
        self.times_s = (stamps - stamps[0]) / NS_PER_S
        self.labelled = np.array([frame.labels is not None for frame in source.frames])

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Drive.load`; raises `InputError` naming a file that is damaged or is not as the data set defines it."""
        rgb, labels = self.source.load(index)
        return rgb, _unlabelled(rgb) if labels is None else cv2.LUT(labels, self.table)

    def labels(self, index: int) -> np.ndarray:
        """See `Drive.labels`; raises `InputError` as `load`."""
        labels = self.source.labels(index)
        assert labels is not None, "asked for the labels of an unlabelled frame"
        return cv2.LUT(labels, self.table)


def _unlabelled(rgb: np.ndarray) -> np.ndarray:
    return np.full(rgb.shape[:2], IGNORE, np.uint8)
