"""Between ROS image messages and arrays: Image or CompressedImage -> Frame, arrays -> Image."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from t2g_ros.errors import InputError
from t2g_ros.image_messages import to_rgb
from t2g_ros.types import NS_PER_S, Frame


def to_frame(msg: Image | CompressedImage, topic: str) -> Frame:
    """Return the message as an RGB frame; rgb8 without row padding is not copied.

    Raises:
        InputError: the message contradicts itself, its encoding is unknown or its file is damaged. The text
            names the topic, what was found and what was expected.
    """
    stamp = msg.header.stamp
    if not 0 <= stamp.nanosec < NS_PER_S:
        raise InputError(f"{topic}: found a stamp with {stamp.nanosec} nanoseconds, expected less than {NS_PER_S}")
    return Frame(to_rgb(msg, topic), stamp.sec * NS_PER_S + stamp.nanosec, msg.header.frame_id)


def header_of(frame: Frame) -> Header:
    """Return the header of the message that the frame came in."""
    sec, nanosec = divmod(frame.stamp_ns, NS_PER_S)
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame.frame_id)


def to_image(pixels: NDArray[np.uint8], header: Header) -> Image:
    """Return (H, W) uint8 as a mono8 message, (H, W, 3) uint8 as an rgb8 one, rows unpadded."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    # The one type that every rclpy takes without looking at each element.
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(pixels)).cast("B"))
    msg = Image(header=header, height=height, width=width, step=width * channels)
    msg.encoding = "mono8" if channels == 1 else "rgb8"
    msg.data = data
    return msg
