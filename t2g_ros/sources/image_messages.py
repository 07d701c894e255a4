"""From a deserialised sensor_msgs image, whichever library deserialised it, to RGB pixels; needs no ROS."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from rosbags.image import ImageError
from rosbags.image.image import Format, convert_color, to_cvtype

from t2g_ros.errors import InputError

RAW_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW_TYPE, COMPRESSED_TYPE)
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def decode_message(message: Any) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels of an Image or CompressedImage.

    Raises:
        InputError: the message contradicts itself, is truncated, or has an unknown encoding.
    """
    return _decode_compressed(message) if hasattr(message, "format") else _decode_raw(message)


def _decode_raw(message: Any) -> np.ndarray:
    try:
        _, colors, typestr, channels = to_cvtype(message.encoding)
    except ImageError as error:
        raise InputError(
            f"encoding '{message.encoding}' is unknown; expected one of sensor_msgs/image_encodings"
        ) from (error)
    if colors == Format.GENERIC:
        raise InputError(f"encoding '{message.encoding}' does not say which channel is which colour, as rgb8 does")
    height, width, step = message.height, message.width, message.step
    dtype = np.dtype(typestr).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = width * channels * dtype.itemsize
    if height == 0 or width == 0:
        raise InputError(f"image is {width}x{height}, expected a size more than 0")
    if step < row_bytes:
        raise InputError(f"step is {step}, expected at least {row_bytes} for {width} pixels of {message.encoding}")
    data = np.frombuffer(message.data, np.uint8)
    if data.size < height * step:
        raise InputError(f"data holds {data.size} bytes, expected {height} rows of {step}")
    # Rows may be padded, which rosbags-image does not know.
    rows = np.ascontiguousarray(data[: height * step].reshape(height, step)[:, :row_bytes])
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = rows.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    try:
        rgb = convert_color(pixels, message.encoding, "rgb8")
    except (ImageError, cv2.error) as error:
        raise InputError(f"encoding '{message.encoding}' cannot be turned into rgb8 ({error})") from error
    return np.ascontiguousarray(rgb, np.uint8)


def _decode_compressed(message: Any) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    # OpenCV fills what is missing of a JPEG with grey and says so only on stderr.
    if data[:2].tobytes() == JPEG_START and not data.tobytes().rstrip(b"\0").endswith(JPEG_END):
        raise InputError(f"JPEG of {data.size} bytes has no end marker; it is truncated")
    # A turned image would no longer fit its camera_info.
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    if bgr is None:
        raise InputError(f"compressed image of {data.size} bytes and format '{message.format}' cannot be decoded")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
