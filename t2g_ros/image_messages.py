"""From a sensor_msgs Image or CompressedImage to RGB, whichever library deserialised it: live and replayed images go
through the same code. Needs no ROS."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.errors import InputError
from t2g_ros.image_files import JPEG_START, PNG_START, jpeg_is_complete, jpeg_size, png_is_complete, png_size

MAX_PIXELS = 8192 * 8192
"""Of an image, twice those of an 8K camera: what a header declares is allocated, whatever the file holds."""
# encoding -> channels, OpenCV conversion to RGB
COMMON_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
_NO_COLORS = re.compile(r"(8|16|32|64)[USF]C\d+")
_DEPTHS = re.compile(r"(16|32|64)[USF]C\d+")


def to_rgb(msg: Any, topic: str) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 RGB pixels of an Image or CompressedImage; rgb8 without row padding is not copied.

    Args:
        msg: of `sensor_msgs.msg` or of rosbags, which have the same fields.
        topic: named in errors.

    Raises:
        InputError: the message contradicts itself, is larger than `MAX_PIXELS`, its encoding is unknown or its file is
            damaged. The text names the topic, what was found and what was expected.
    """
    return _decode_compressed(msg, topic) if hasattr(msg, "format") else _decode_raw(msg, topic)


def _decode_raw(msg: Any, topic: str) -> NDArray[np.uint8]:
    _check_size(msg.height, msg.width, "an image", topic)
    if len(msg.data) != msg.step * msg.height:
        raise InputError(
            f"{topic}: found {len(msg.data)} bytes of data, expected step x height = {msg.step} x {msg.height} = "
            f"{msg.step * msg.height} for {msg.width}x{msg.height} {msg.encoding}"
        )
    if msg.encoding not in COMMON_ENCODINGS:
        return _decode_other(msg, topic)
    channels, conversion = COMMON_ENCODINGS[msg.encoding]
    rows = _rows(msg, msg.width * channels, topic)
    pixels = rows.reshape(msg.height, msg.width, channels)
    return np.ascontiguousarray(pixels) if conversion is None else _u8(cv2.cvtColor(pixels, conversion))


def _check_size(height: int, width: int, what: str, topic: str) -> None:
    found = f"{topic}: found {what} of {width}x{height} pixels, expected"
    if width == 0 or height == 0:
        raise InputError(f"{found} at least 1x1")
    if width * height > MAX_PIXELS:
        raise InputError(f"{found} at most {MAX_PIXELS} in all, as 8192x8192 has")


def _rows(msg: Any, row_bytes: int, topic: str) -> NDArray[np.uint8]:
    """The (height, row_bytes) uint8 view of the data without the padding at the rows' ends."""
    if msg.step < row_bytes:
        raise InputError(
            f"{topic}: found a step of {msg.step} bytes, expected at least {row_bytes} for a row of "
            f"{msg.width} pixels in {msg.encoding}"
        )
    return np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)[:, :row_bytes]


def _decode_other(msg: Any, topic: str) -> NDArray[np.uint8]:
    """Bayer, YUV, 16 bit and so on: cv_bridge where it works, else rosbags-image."""
    if _NO_COLORS.fullmatch(msg.encoding):
        raise InputError(
            f"{topic}: encoding '{msg.encoding}' does not say which channel is which colour; expected one that "
            f"does, such as {', '.join(COMMON_ENCODINGS)}"
        )
    try:
        rgb = _by_cv_bridge(msg)
        if rgb is None:
            rgb = _by_rosbags(msg, topic)
    except InputError:
        raise
    except Exception as error:  # each library has its own, down to cv2.error
        raise InputError(
            f"{topic}: encoding '{msg.encoding}' cannot be turned into rgb8 ({error}); expected "
            f"{', '.join(COMMON_ENCODINGS)} or another colour encoding of sensor_msgs/image_encodings"
        ) from error
    if rgb.shape != (msg.height, msg.width, 3) or rgb.dtype != np.uint8:
        raise InputError(
            f"{topic}: '{msg.encoding}' decoded to {rgb.dtype} {rgb.shape}, expected uint8 "
            f"({msg.height}, {msg.width}, 3)"
        )
    return np.ascontiguousarray(rgb)


def _by_cv_bridge(msg: Any) -> NDArray[np.uint8] | None:
    """None where cv_bridge is absent, or may have been built against another NumPy."""
    if int(np.__version__.split(".")[0]) >= 2:
        return None  # built against NumPy 1, as the distributions' is, it ends the process (vision_opencv#535)
    try:
        from cv_bridge import CvBridge

        return _u8(CvBridge().imgmsg_to_cv2(msg, "rgb8"))
    except (ImportError, AttributeError):
        return None


def _by_rosbags(msg: Any, topic: str) -> NDArray[np.uint8]:
    from rosbags.image.image import image_to_cvimage, to_cvtype

    bits, _, _, channels = to_cvtype(msg.encoding)
    rows = _rows(msg, msg.width * channels * bits // 8, topic)
    # It takes rows to be unpadded.
    packed: Any = SimpleNamespace(
        height=msg.height,
        width=msg.width,
        encoding=msg.encoding,
        is_bigendian=bool(msg.is_bigendian),
        data=np.ascontiguousarray(rows),
    )
    return _u8(image_to_cvimage(packed, "rgb8"))


def _decode_compressed(msg: Any, topic: str) -> NDArray[np.uint8]:
    data = bytes(msg.data)
    encoding = msg.format.partition(";")[0].strip()
    if _DEPTHS.fullmatch(encoding):
        raise InputError(
            f"{topic}: found the format '{msg.format}', whose pixels are no colours (a depth image?); expected one "
            "such as 'rgb8; jpeg compressed bgr8'"
        )
    if data.startswith(JPEG_START):
        complete, size, kind = jpeg_is_complete(data), jpeg_size(data), "JPEG"
    elif data.startswith(PNG_START):
        complete, size, kind = png_is_complete(data), png_size(data), "PNG"
    else:
        raise InputError(
            f"{topic}: found {len(data)} bytes that begin with {data[:4].hex() or 'nothing'} and format "
            f"'{msg.format}', expected a JPEG or PNG file"
        )
    # OpenCV only warns on stderr and fills the missing rows with grey.
    if not complete:
        raise InputError(f"{topic}: found a truncated {kind} of {len(data)} bytes, expected one with its end marker")
    damaged = InputError(f"{topic}: found a damaged {kind} of {len(data)} bytes, expected one that decodes")
    if size is None:
        raise damaged  # before it is decoded, which allocates what it says somewhere
    _check_size(*size, f"a {kind}", topic)
    try:
        # A turned image would no longer fit its camera_info.
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise damaged
    return _u8(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _u8(pixels: object) -> NDArray[np.uint8]:
    return np.asarray(pixels, np.uint8)
