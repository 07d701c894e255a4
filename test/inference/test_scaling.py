"""Large frames are averaged down as by the exact average, whatever their size; small ones are interpolated."""

import cv2
import numpy as np
import pytest

from t2g_ros.inference.scaling import to_input

SIZE = (128, 256)


def scene(height: int, width: int) -> np.ndarray:
    """Smooth shapes, as a lens gives them."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (24, 48, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize(
    "shape",
    [
        (256, 512),
        (270, 480),
        (300, 480),
        (370, 740),
        (270, 360),
        (540, 960),
        (541, 961),
        (1080, 1920),
        (1000, 200),
        (7, 2000),
    ],
)
def test_a_larger_frame_is_its_average(shape: tuple[int, int]) -> None:
    image = scene(*shape)
    exact = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA)
    off = to_input(image, SIZE).astype(float) - exact
    assert off.shape == (*SIZE, 3)
    assert np.sqrt(np.mean(off**2)) < 2
    assert abs(off.mean()) < 0.5  # every rounding is upwards


@pytest.mark.parametrize("shape", [(270, 480), (540, 960), (1080, 1920)])
def test_what_is_too_fine_for_the_input_becomes_grey_and_does_not_flicker(shape: tuple[int, int]) -> None:
    """A grating of one pixel, and the same a pixel further: subsampling would show stripes that jump."""
    columns = np.arange(shape[1] + 1) % 2 * 255
    grating = np.repeat(np.repeat(columns[None, :, None], shape[0], 0), 3, 2).astype(np.uint8)
    one, other = (to_input(np.ascontiguousarray(grating[:, at : at + shape[1]]), SIZE).astype(int) for at in (0, 1))
    subsampled = cv2.resize(grating[:, : shape[1]], SIZE[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    assert one.std() < subsampled.std() / 2
    assert np.abs(one - other).mean() < 64


def test_a_frame_of_the_size_is_copied_since_a_message_s_data_cannot_be_written() -> None:
    rgb = np.frombuffer(bytes(range(256)) * 96, np.uint8).reshape(64, 128, 3)
    found = to_input(rgb, (64, 128))
    np.testing.assert_array_equal(found, rgb)
    assert found.flags.writeable


def test_a_frame_of_about_the_size_is_interpolated() -> None:
    image = scene(150, 256)
    expected = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(to_input(image, SIZE), expected)
