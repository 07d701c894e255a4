"""The overlay and the legend."""

import cv2
import numpy as np
import pytest

from t2g_ros.drawing import legend, overlay
from t2g_ros.labels import CAMVID11, CITYSCAPES19, IGNORE, SPACES


def test_overlay_mixes_image_and_colour_and_leaves_unlabelled_pixels_alone() -> None:
    rgb = np.full((1, 3, 3), 100, np.uint8)
    labels = np.array([[0, 13, IGNORE]], np.uint8)
    out = overlay(rgb, labels, CITYSCAPES19, alpha=0.25)
    assert out.dtype == np.uint8
    # 0.75 * 100 + 0.25 * colour of road (128, 64, 128) and of car (0, 0, 142), then untouched.
    np.testing.assert_allclose(out[0], [[107, 91, 107], [75, 75, 110.5], [100, 100, 100]], atol=0.51)
    assert (rgb == 100).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_ends(alpha: float) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    labels = np.full((4, 6), 3, np.uint8)
    expected = rgb if alpha == 0 else CAMVID11.colorize(labels)
    np.testing.assert_array_equal(overlay(rgb, labels, CAMVID11, alpha), expected)


def test_labels_of_the_model_grid_are_scaled_without_inventing_classes() -> None:
    labels = np.array([[0, 10]], np.uint8)
    out = overlay(np.zeros((4, 8, 3), np.uint8), labels, CAMVID11, alpha=1)
    assert {tuple(c) for c in out.reshape(-1, 3).tolist()} == {(128, 128, 128), (0, 128, 192)}


def test_alpha_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        overlay(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), CAMVID11, 1.5)


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize("width", [300, 1024])
def test_legend_shows_every_colour_and_fits(name: str, width: int) -> None:
    space = SPACES[name]
    strip = legend(space, width)
    assert strip.shape[1:] == (width, 3)
    shown = {tuple(c) for c in strip.reshape(-1, 3).tolist()}
    assert {tuple(c) for c in space.palette.tolist()} <= shown
    last = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)[:, -1]
    assert not last.any()
