"""KITTI-360: the left perspective camera of whole drives at 10 Hz, most of their frames with labels.

Layout (https://www.cvlibs.net/datasets/kitti-360/documentation.php):
`data_2d_raw/<drive>/image_00/data_rect/<frame>.png` with `data_2d_raw/<drive>/image_00/timestamps.txt`, whose line n
is the time of frame n, and `data_2d_semantics/train/<drive>/image_00/semantic/<frame>.png`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.sources.datasets.base import (
    DatasetFrame,
    DatasetSource,
    files_by_name,
    folders,
    id_format,
    matching_files,
    stamp_at,
    subfolder,
)

FPS = 10.0
CAMERA = "image_00"
_NAME = re.compile(r"(\d{10})\.png")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?")
_EXAMPLE = "0000000250.png"


def sequences(root: Path) -> list[DatasetSource]:
    """Return one source per drive, named as its folder.

    Raises:
        InputError: the layout is another one, or a timestamps.txt is damaged.
    """
    truth = subfolder("kitti360", root / "data_2d_semantics" / "train")
    return [_drive(root, drive, truth) for drive in folders("kitti360", root / "data_2d_raw", "*_drive_*")]


def _drive(root: Path, drive: Path, truth: Path) -> DatasetSource:
    labels_at = truth / drive.name / CAMERA / "semantic"
    label_files = files_by_name(labels_at)
    times_file = drive / CAMERA / "timestamps.txt"
    times = _read_times(times_file) if times_file.is_file() else None
    frames = []
    for path, match in matching_files("kitti360", drive / CAMERA / "data_rect", _NAME, _EXAMPLE):
        number = int(match[1])
        if times is not None and number >= len(times):
            raise InputError(f"{times_file}: has {len(times)} lines, none for frame {number} ({path.name})")
        stamp_ns = stamp_at(number, FPS) if times is None else times[number]
        frames.append(DatasetFrame(path, stamp_ns, label_files.get(path.name)))
    return DatasetSource(root, drive.name, frames, labels=id_format("kitti360_ids"), labels_at=labels_at, fps=FPS)


def _read_times(path: Path) -> list[int]:
    """Return nanoseconds since 1970, the clock taken as UTC since the file names no zone."""
    times = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        text = line.decode(errors="replace").strip()
        try:
            if not _TIME.fullmatch(text):
                raise ValueError("NumPy takes a blank line to be no time, and a part of one to be a whole one")
            times.append(int(np.datetime64(text.replace(" ", "T"), "ns").astype(np.int64)))
        except ValueError as error:
            expected = "2013-05-28 08:46:02.904475648"
            raise InputError(f"{path}: line {number} is '{text}', expected a time such as {expected}") from error
    return times
