from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from recordings import picture

from t2g_ros.errors import InputError
from t2g_ros.image_messages import to_rgb


def raw_message(**changes: object) -> SimpleNamespace:
    fields = {"height": 2, "width": 2, "encoding": "rgb8", "is_bigendian": 0, "step": 6, "data": bytes(range(12))}
    return SimpleNamespace(**(fields | changes))


def test_padding_at_the_end_of_rows_is_left_out() -> None:
    padded = raw_message(step=8, data=bytes([0, 1, 2, 3, 4, 5, 99, 99, 6, 7, 8, 9, 10, 11, 99, 99]))
    np.testing.assert_array_equal(to_rgb(padded, "/front").reshape(-1), np.arange(12))


@pytest.mark.parametrize(
    ("encoding", "step", "data", "expected"),
    [
        ("bgra8", 4, bytes([3, 2, 1, 0]), (1, 2, 3)),
        ("rgba8", 4, bytes([1, 2, 3, 0]), (1, 2, 3)),
        ("mono8", 1, bytes([7]), (7, 7, 7)),
        ("rgb16", 6, bytes([0, 255, 0, 128, 0, 0]), (254, 127, 0)),
    ],
)
def test_encodings_become_rgb(encoding: str, step: int, data: bytes, expected: tuple[int, int, int]) -> None:
    rgb = to_rgb(raw_message(height=1, width=1, encoding=encoding, step=step, data=data), "/front")
    assert tuple(rgb[0, 0]) == expected


def test_big_endian_16_bit_is_swapped() -> None:
    message = raw_message(height=1, width=1, encoding="mono16", step=2, data=bytes([255, 0]), is_bigendian=1)
    assert to_rgb(message, "/front")[0, 0, 0] == 254


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"step": 5, "data": bytes(10)}, "a step of 5 bytes, expected at least 6"),
        ({"data": bytes(11)}, "11 bytes of data, expected step x height = 6 x 2 = 12"),
        ({"width": 0}, "an image of 0x2 pixels"),
        ({"width": 60_000, "height": 60_000}, "an image of 60000x60000 pixels, expected at most 67108864"),
        ({"encoding": "rgb9"}, "encoding 'rgb9' cannot be turned into rgb8"),
        ({"encoding": "8UC3"}, "does not say which channel"),
    ],
)
def test_a_message_that_contradicts_itself_says_how(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        to_rgb(raw_message(**changes), "/front")


def test_a_truncated_jpeg_is_refused() -> None:
    data = cv2.imencode(".jpg", picture(0, (200, 300)))[1].tobytes()
    assert to_rgb(SimpleNamespace(format="jpeg", data=data), "/front").shape == (200, 300, 3)
    with pytest.raises(InputError, match="truncated"):
        to_rgb(SimpleNamespace(format="jpeg", data=data[: len(data) // 2]), "/front")
    with pytest.raises(InputError, match="expected a JPEG or PNG file"):
        to_rgb(SimpleNamespace(format="png", data=b""), "/front")


@pytest.mark.parametrize("marker", [0x00, 0x01, 0x02, 0xD0, 0xD7, 0xD8, 0xD9])
def test_a_size_hidden_behind_a_marker_that_decoders_pass_is_not_decoded(
    marker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cv2.imencode(".jpg", np.zeros((2000, 2000, 3), np.uint8))[1].tobytes()
    small = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    scan = data.index(b"\xff\xda")
    # Who takes what follows the marker for a length skips the true header, and reads on in the small one.
    hidden = data[2:scan]
    crafted = data[:2] + bytes([0xFF, marker]) + (2 + len(hidden)).to_bytes(2, "big") + hidden + small[2:]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match="JPEG of"):
        to_rgb(SimpleNamespace(format="jpeg", data=crafted), "/front")


def test_compressed_depth_is_refused_as_raw_depth_is() -> None:
    _, png = cv2.imencode(".png", np.full((4, 4), 1000, np.uint16))
    with pytest.raises(InputError, match=r"16UC1; png compressed.*no colours"):
        to_rgb(SimpleNamespace(format="16UC1; png compressed ", data=png.tobytes()), "/depth")
