from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from t2g_ros.labels import CAMVID11, CITYSCAPES19, IGNORE
from t2g_ros.training.batches import Batches
from t2g_ros.training.config import ConfigError, load_train_config
from t2g_ros.training.copy_paste import Donors, paste
from t2g_ros.training.rare_classes import RareClassSampler
from t2g_ros.training.sources import open_sources

ROAD, CAR = CAMVID11.id_of("road"), CAMVID11.id_of("car")


def test_what_is_cut_out_is_pasted_with_its_labels() -> None:
    image, labels = np.full((60, 80, 3), 10, np.uint8), np.full((60, 80), ROAD, np.uint8)
    donor, donor_labels = np.full((30, 40, 3), 100, np.uint8), np.zeros((30, 40), np.uint8)  # half the size
    donor[16:20, 18:24], donor_labels[16:20, 18:24] = 200, CAR
    kept = image.copy(), labels.copy()
    sizes, places = [], []
    for seed in range(20):
        found, found_labels = paste(
            image, labels, donor, donor_labels, donor_labels == CAR, np.random.default_rng(seed)
        )
        assert set(np.unique(found_labels)) == {ROAD, CAR}
        car = found_labels == CAR
        assert found[car].mean() > 150
        assert (found[~car] < 110).all()  # nothing of the donor but its car
        sizes.append(car.sum())
        places.append(np.argwhere(car).mean(axis=0))
        assert places[-1][0] > 30  # below the horizon, where it was
    assert 4 * 24 * 0.4 < min(sizes) < max(sizes) < 4 * 24 * 2.8
    assert np.ptp([x for _, x in places]) > 20
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(labels, kept[1])


def one_frame(*names: str) -> Donors:
    """Donors of one image with a column of every class, drawn for the last of them."""
    ids = np.repeat([CITYSCAPES19.id_of(name) for name in names], 8).astype(np.uint8)[None].repeat(24, axis=0)
    drive = SimpleNamespace(load=lambda _: (np.full((*ids.shape, 3), 200, np.uint8), ids))
    counts = np.zeros((1, len(CITYSCAPES19)), np.int64)
    counts[0, ids[0, -1]] = 99
    return Donors(CITYSCAPES19, RareClassSampler([(drive, 0)], counts, 0.05))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("rider", {"rider", "bicycle"}), ("bicycle", {"rider", "bicycle"}), ("car", {"car"})],
)
def test_a_rider_comes_with_what_is_ridden(wanted: str, expected: set[str]) -> None:
    names = [name for name in ("road", "rider", "bicycle", "car") if name != wanted]
    image, labels = np.zeros((24, 64, 3), np.uint8), np.full((24, 64), IGNORE, np.uint8)
    _, found, shown = one_frame(*names, wanted).paste(image, labels, np.random.default_rng(1))
    assert {CITYSCAPES19.names[i] for i in np.unique(found) if i != IGNORE} == expected
    assert CITYSCAPES19.names[shown] == wanted


def test_stills_are_pasted_into_where_the_config_says_so(config_file: Path) -> None:
    stills = "sources=[{kind: stills, weight: 1, path: drive, labels: camvid11, paste: %s}]"
    shares = []
    for chance in (0.0, 1.0):
        config = load_train_config(config_file, [stills % chance, "rare_class_temperature=0.05"])
        batches = Batches(config, open_sources(config, config_file.parent))
        clips = [batches.clip(0, index) for index in range(12)]
        shares.append(np.mean([(clip.labels == CAR).mean() for clip in clips]))
    assert shares[1] > 1.2 * shares[0]


@pytest.mark.parametrize("wrong", ["sources.0.paste=0.5", "sources.1.paste=0.5"])
def test_pasting_needs_stills_and_rare_classes(config_file: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"sources\[\d\]: paste is 0.5, expected 0: only stills are pasted into"):
        load_train_config(config_file, [wrong])
