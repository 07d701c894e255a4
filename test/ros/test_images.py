"""Images in every common encoding and with any row padding; what contradicts itself is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from t2g_ros.errors import InputError
from t2g_ros.image_messages import COMMON_ENCODINGS
from t2g_ros.ros.images import header_of, to_frame, to_image
from t2g_ros.types import Frame


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """An Image of (H, W[, C]) pixels of any type, each row followed by `padding` bytes of rubbish."""
    rows = pixels.reshape(pixels.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=padded.shape[1],
        data=padded.tobytes(),
    )


@settings(deadline=None)
@given(
    encoding=st.sampled_from(sorted(COMMON_ENCODINGS)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    padding=st.integers(0, 67),
    big_endian=st.booleans(),
    seed=st.integers(0, 999),
)
def test_common_encodings_decode_at_any_step(
    encoding: str, height: int, width: int, padding: int, big_endian: bool, seed: int
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    alpha = np.full((height, width, 1), 7, np.uint8)
    sent = {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], 2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], 2),
        "mono8": rgb[..., 0],
    }[encoding]
    msg = message(np.ascontiguousarray(sent), encoding, padding)
    msg.is_bigendian = big_endian
    expected = np.repeat(rgb[..., :1], 3, 2) if encoding == "mono8" else rgb
    frame = to_frame(msg, "/image")
    np.testing.assert_array_equal(frame.rgb, expected)
    assert frame.rgb.flags.c_contiguous


def test_unpadded_rgb_is_not_copied() -> None:
    msg = message(np.zeros((4, 5, 3), np.uint8), "rgb8")
    frame = to_frame(msg, "/image")
    msg.data[0] = 9
    assert frame.rgb[0, 0, 0] == 9


@pytest.mark.parametrize("padding", [0, 6])
def test_16_bit_and_big_endian_images_decode(padding: int) -> None:
    grey = np.arange(0, 65536, 2048, dtype=np.uint16).reshape(4, 8)
    for big in (False, True):
        msg = message(grey.astype(">u2" if big else "<u2"), "mono16", padding)
        msg.is_bigendian = big
        rgb = to_frame(msg, "/image").rgb
        assert rgb.shape == (4, 8, 3)
        np.testing.assert_allclose(rgb[..., 1], grey / 257, atol=1)


def test_bayer_and_yuv_images_decode_to_their_colours() -> None:
    colour = np.array([200, 120, 40], np.uint8)
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = colour[0], colour[2]
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = colour[1]
    rgb = to_frame(message(mosaic, "bayer_rggb8", padding=3), "/image").rgb
    np.testing.assert_allclose(rgb[2:-2, 2:-2], np.broadcast_to(colour, (4, 4, 3)), atol=1)

    y, u, v = (int(x) for x in cv2.cvtColor(colour[None, None], cv2.COLOR_RGB2YUV)[0, 0])
    # cvtColor's YUV is full range and yuyv is not, so only grey-level order and hue are compared.
    yuyv = np.tile(np.array([y, u, y, v], np.uint8), (4, 4)).reshape(4, 8, 2)
    red, green, blue = to_frame(message(yuyv, "yuv422_yuy2"), "/image").rgb[2, 2].astype(int)
    assert red > green > blue


def test_the_stamp_and_frame_id_come_back_exactly() -> None:
    msg = message(np.zeros((1, 1, 3), np.uint8), "rgb8")
    msg.header.stamp.sec, msg.header.stamp.nanosec, msg.header.frame_id = 1_700_000_000, 123_456_789, "optical"
    frame = to_frame(msg, "/image")
    assert frame.stamp_ns == 1_700_000_000_123_456_789
    assert header_of(frame) == msg.header


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 999_999_999))
def test_any_stamp_survives(sec: int, nanosec: int) -> None:
    stamp = header_of(Frame(np.zeros((1, 1, 3), np.uint8), sec * 10**9 + nanosec)).stamp
    assert (stamp.sec, stamp.nanosec) == (sec, nanosec)


def test_arrays_become_unpadded_messages_that_decode_to_themselves() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    header = Header(frame_id="x")
    # A view with strides of its own, as a crop or a flip gives.
    for pixels, encoding in ((rgb[:, ::-1], "rgb8"), (rgb[..., 0], "mono8")):
        msg = to_image(pixels, header)
        assert (msg.encoding, msg.height, msg.width, msg.step * 5) == (encoding, 5, 7, len(msg.data))
        decoded = to_frame(msg, "/image").rgb
        np.testing.assert_array_equal(decoded if encoding == "rgb8" else decoded[..., 0], pixels)


@settings(deadline=None)
@given(
    height=st.integers(0, 5), width=st.integers(0, 5), step=st.integers(0, 20), size=st.integers(0, 100),
    encoding=st.sampled_from(["rgb8", "mono8", "bgra8", "mono16", "bayer_rggb8", "nv12", "yuv422", "32FC1", "", "rgb"]),
)  # fmt: skip
def test_any_message_is_either_an_image_of_its_size_or_refused_by_topic(
    height: int, width: int, step: int, size: int, encoding: str
) -> None:
    msg = Image(height=height, width=width, step=step, encoding=encoding, data=bytes(size))
    frame = None
    problem = ""
    try:
        frame = to_frame(msg, "/cam/image")
    except InputError as error:
        problem = str(error)
    if frame is None:
        assert "/cam/image" in problem
        assert "expected" in problem
    else:
        assert size == step * height
        assert frame.size == (height, width)


def test_every_truncation_of_a_jpeg_with_a_thumbnail_is_refused() -> None:
    thumbnail = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    # An application segment may hold a whole JPEG, end marker included, before the image itself.
    segment = b"\xff\xe3" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    jpeg = jpeg[:2] + segment + jpeg[2:]
    for length in range(len(jpeg)):
        with pytest.raises(InputError, match="/cam"):
            to_frame(CompressedImage(format="jpeg", data=jpeg[:length]), "/cam")
    # Cameras that send frames of fixed length fill the rest up.
    assert to_frame(CompressedImage(format="jpeg", data=jpeg + bytes(50)), "/cam").size == (40, 40)


def test_an_exif_orientation_does_not_turn_the_image() -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((10, 30, 3), np.uint8))[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (30, 10)
    assert to_frame(CompressedImage(format="jpeg", data=turned), "/cam").size == (10, 30)
