"""Weather as augmentation: it hides, it does not destroy, and only what falls moves."""

import numpy as np
import pytest

from t2g_ros.training.weather import KINDS, Weather

SIZE = (48, 80)


def drawn(kind: str) -> list[Weather]:
    found = [w for seed in range(60) if (w := Weather(np.random.default_rng(seed), SIZE)).kind == kind]
    assert len(found) > 5
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_the_image_and_leaves_it_readable(kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for weather in drawn(kind):
        out = weather(image, np.random.default_rng(1))
        assert (out.shape, out.dtype) == (image.shape, np.uint8)
        assert np.abs(out.astype(int) - image).mean() > 1
        # What is left of the image is its structure, not only its mean.
        assert np.corrcoef(out.ravel(), image.ravel())[0, 1] > 0.15


def test_haze_and_blotches_stay_over_a_clip_and_specks_fall() -> None:
    image = np.full((*SIZE, 3), 60, np.uint8)
    for kind in KINDS:
        weather, rng = drawn(kind)[0], np.random.default_rng(2)
        same = np.array_equal(weather(image, rng), weather(image, rng))
        assert same == (kind != "specks")


def test_a_seed_gives_the_same_weather() -> None:
    image = np.full((*SIZE, 3), 60, np.uint8)
    one, two = (Weather(np.random.default_rng(7), SIZE)(image, np.random.default_rng(8)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
