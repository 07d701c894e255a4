"""Image and label files as arrays, with errors that name the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from t2g_ros.errors import InputError, T2GError
from t2g_ros.image_files import JPEG_START, jpeg_is_complete
from t2g_ros.sources.base import Losses


class DamagedFile(InputError):
    """A file that should be an image and cannot be decoded."""


def read_rgb(path: Path, what: str = "image") -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels; raises `DamagedFile` where the file cannot be read or decoded."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DamagedFile(f"{what} {path}: cannot be read ({error.strerror})") from error
    start = data[:2].tobytes()
    if start == JPEG_START and not jpeg_is_complete(data.tobytes()):
        raise DamagedFile(f"{what} {path}: is a truncated JPEG of {len(data)} bytes, expected one with its end marker")
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if bgr is None:
        raise DamagedFile(f"{what} {path}: cannot be decoded; is it complete?")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def read_ids(path: Path) -> np.ndarray:
    """Return the (H, W) uint8 ids as they are in the file; raises `InputError` where it holds something else.

    A file that cannot be decoded raises `DamagedFile`.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise DamagedFile(f"labels {path}: cannot be decoded; is it complete?")
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"labels {path}: found {labels.dtype} {labels.shape}, expected one 8-bit channel of class ids")
    return labels


def write_image(path: Path, pixels: np.ndarray, flags: Sequence[int] = ()) -> None:
    """Write an image file of the suffix's format, whole or not at all; `flags` are those of `cv2.imencode`.

    Raises:
        T2GError: it cannot be written; what was there under its name is gone.
    """
    # Not cv2.imwrite, which does not notice a full disk.
    _, data = cv2.imencode(path.suffix, pixels, flags)
    try:
        path.write_bytes(data)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise T2GError(f"image {path}: cannot be written ({error.strerror}); those before it are kept") from error


def check_label_size(path: Path, labels: np.ndarray, size: tuple[int, int]) -> None:
    """Raise `InputError` unless the labels have the (height, width) of their image."""
    if labels.shape != size:
        raise InputError(f"labels {path}: size {labels.shape}, expected that of the image, {size}")


def read_labelled(
    image: Path,
    labels: Path | None,
    read_labels: Callable[[Path, tuple[int, int]], np.ndarray],
    losses: Losses,
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return the pixels and labels of one frame, None for a damaged image; damaged files are told in the losses.

    Args:
        image: image file.
        labels: label file, None where there is none.
        read_labels: of a path and the image's (height, width).
        losses: of the recording.

    Raises:
        InputError: the labels are readable, but not those of the image or not of the label space.
    """
    try:
        rgb = read_rgb(image)
    except DamagedFile:
        losses.add("an image cannot be decoded", image.name)
        return None
    if labels is None:
        return rgb, None
    try:
        return rgb, read_labels(labels, (rgb.shape[0], rgb.shape[1]))
    except DamagedFile:
        losses.add("a label file cannot be decoded", labels.name)
        return rgb, None
