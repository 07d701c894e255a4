"""Image and label files as arrays, with errors that name the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.image_messages import JPEG_START, jpeg_is_complete


def read_rgb(path: Path, what: str = "image") -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels; raises `InputError` where the file cannot be decoded."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{what} {path}: cannot be read ({error.strerror})") from error
    start = data[:2].tobytes()
    if start == JPEG_START and not jpeg_is_complete(data.tobytes()):
        raise InputError(f"{what} {path}: is a truncated JPEG of {len(data)} bytes, expected one with its end marker")
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if bgr is None:
        raise InputError(f"{what} {path}: cannot be decoded; is it complete?")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def read_ids(path: Path) -> np.ndarray:
    """Return the (H, W) uint8 ids as they are in the file; raises `InputError` where it holds something else."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise InputError(f"labels {path}: cannot be decoded; is it complete?")
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"labels {path}: found {labels.dtype} {labels.shape}, expected one 8-bit channel of class ids")
    return labels


def check_label_size(path: Path, labels: np.ndarray, size: tuple[int, int]) -> None:
    """Raise `InputError` unless the labels have the (height, width) of their image."""
    if labels.shape != size:
        raise InputError(f"labels {path}: size {labels.shape}, expected that of the image, {size}")
