from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from t2g_ros.labels import CAMVID11, CITYSCAPES19, IGNORE, LabelSpace, certain_table
from t2g_ros.training.batches import Batches
from t2g_ros.training.config import ConfigError, load_train_config
from t2g_ros.training.copy_paste import Donors, paste
from t2g_ros.training.rare_classes import RareClassSampler
from t2g_ros.training.sources import open_sources

ROAD, CAR = CAMVID11.id_of("road"), CAMVID11.id_of("car")


def test_what_is_cut_out_is_pasted_with_its_labels() -> None:
    image, labels = np.full((60, 120, 3), 10, np.uint8), np.full((60, 120), ROAD, np.uint8)
    donor, donor_labels = np.full((120, 160, 3), 100, np.uint8), np.zeros((120, 160), np.uint8)  # twice as high
    donor[64:80, 72:96], donor_labels[64:80, 72:96] = 200, CAR
    kept = image.copy(), labels.copy()
    sizes, places, seen = [], [], []
    for seed in range(20):
        found, found_labels = paste(
            image, labels, donor, donor_labels == CAR, donor_labels, np.random.default_rng(seed)
        )
        assert set(np.unique(found_labels)) == {ROAD, CAR}
        car = found_labels == CAR
        seen.append(found[car].mean())
        around = cv2.dilate(car.astype(np.uint8), np.ones((5, 5))) == 1
        assert (found[~around] == 10).all()  # nothing else of the donor
        rows, columns = car.any(axis=1).sum(), car.any(axis=0).sum()
        assert columns == pytest.approx(1.5 * rows, abs=1.6)  # its shape, though the images have others
        sizes.append(rows)
        places.append(np.argwhere(car).mean(axis=0))
        assert places[-1][0] > 30  # below the horizon, where it was
    assert 20 < min(seen) < 50 < 100 < max(seen)  # the donor's exposure to the image's, a tenth of it
    assert 8 * 0.4 < min(sizes) < 5 < 9 < max(sizes) < 8 * 1.7
    assert np.ptp([x for _, x in places]) > 40
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(labels, kept[1])


def one_frame(space: LabelSpace, *names: str) -> Donors:
    """Donors of one image with a column of every class, drawn for the last of them."""
    ids = np.repeat([space.id_of(name) for name in names], 8).astype(np.uint8)[None].repeat(24, axis=0)
    drive = SimpleNamespace(labelled=np.ones(1, bool), load=lambda _: (np.full((*ids.shape, 3), 200, np.uint8), ids))
    counts = np.zeros((1, len(space)), np.int64)
    counts[0, ids[0, -1]] = 99
    return Donors([drive], space, RareClassSampler(counts, 0.05), certain_table(space, CITYSCAPES19))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("rider", {"rider", "bicycle"}), ("bicycle", {"rider", "bicycle"}), ("car", {"car"})],
)
def test_a_rider_comes_with_what_is_ridden(wanted: str, expected: set[str]) -> None:
    names = [name for name in ("road", "rider", "bicycle", "car") if name != wanted]
    image, labels = np.zeros((24, 64, 3), np.uint8), np.full((24, 64), IGNORE, np.uint8)
    _, found, shown = one_frame(CITYSCAPES19, *names, wanted).paste(image, labels, np.random.default_rng(1))
    assert {CITYSCAPES19.names[i] for i in np.unique(found) if i != IGNORE} == expected
    assert CITYSCAPES19.names[shown] == wanted


def test_the_upper_half_of_a_cyclist_is_the_rider() -> None:
    bicyclist, rider = CAMVID11.id_of("bicyclist"), CITYSCAPES19.id_of("rider")
    ids = np.full((120, 160), CAMVID11.id_of("road"), np.uint8)
    ids[60:100, 40:60] = bicyclist
    ids[70:90, 100:140] = bicyclist  # wider than high: motorcycles beside each other
    donor = np.full((120, 160, 3), 200, np.uint8)
    drive = SimpleNamespace(labelled=np.ones(1, bool), load=lambda _: (donor, ids))
    rare = RareClassSampler(np.eye(11, dtype=np.int64)[[bicyclist]] * 99, 0.05)
    donors = Donors([drive], CAMVID11, rare, certain_table(CAMVID11, CITYSCAPES19), rider)
    for seed in range(8):
        image, labels = np.full((120, 300, 3), 20, np.uint8), np.zeros((120, 300), np.uint8)
        mixed, found, shown = donors.paste(image, labels, np.random.default_rng(seed))
        assert shown == rider
        rows = [np.flatnonzero((found == label).any(axis=1)) for label in (rider, IGNORE)]
        assert rows[0].max() + 1 == rows[1].min()
        assert len(rows[0]) == pytest.approx(len(rows[1]), abs=1)
        assert mixed[found == IGNORE].mean() > 0.9 * mixed[found == rider].mean() > 18  # what is ridden is pasted, too
        columns = (found != 0).any(axis=0).sum()
        assert columns <= len(rows[0]) + 2  # 20 wide, as half of it is high: nothing else is pasted


def test_donors_of_another_label_space_give_what_is_certain() -> None:
    image, labels = np.zeros((24, 64, 3), np.uint8), np.full((24, 64), IGNORE, np.uint8)
    _, found, shown = one_frame(CAMVID11, "road", "pedestrian").paste(image, labels, np.random.default_rng(1))
    assert set(np.unique(found)) == {CITYSCAPES19.id_of("person"), IGNORE}
    assert shown == CITYSCAPES19.id_of("person")


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


FROM = "sources.1.paste_from=[{path: drive, labels: camvid11, classes: [%s], chance: %s}]"


def test_other_data_is_pasted_from_where_the_config_says_so(config_file: Path) -> None:
    shares, prints = [], set()
    for chance in (0.0, 1.0):
        config = load_train_config(config_file, [FROM % ("car", chance), "rare_class_temperature=0.05"])
        stills = open_sources(config, config_file.parent)[1]
        clips = [stills.clip(np.random.default_rng(seed), 1) for seed in range(12)]
        shares.append(np.mean([(clip.labels[0] == CAR).mean() for clip in clips]))
        prints.add(stills.fingerprint())
    assert shares[1] > 1.2 * shares[0]
    config = load_train_config(config_file)
    assert open_sources(config, config_file.parent)[1].fingerprint() not in prints  # what is pasted is data, too


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (FROM.replace("1", "0", 1) % ("car", 0.3), r"sources\[0\]: paste_from is .*, expected \[\]: only stills"),
        (FROM % ("car", 3), r"sources\[1\].paste_from\[0\]: chance is 3.*, expected 0 to 1"),
        (FROM.replace("path:", "paths:") % ("car", 0.3), "paths"),
    ],
)
def test_a_wrong_donor_is_named(config_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config(config_file, [override, "rare_class_temperature=0.05"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("plane", "drive: label space 'camvid11' has no class 'plane'"),
        ("car", "drive: classes has 'car', expected what is one class of cityscapes19"),  # or a truck, or a bus
    ],
)
def test_a_class_that_cannot_be_pasted_is_named(config_file: Path, wanted: str, message: str) -> None:
    fine = "sources.1.labels=cityscapes19"
    config = load_train_config(config_file, [fine, FROM % (wanted, 0.3), "rare_class_temperature=0.05"])
    with pytest.raises(ConfigError, match=message):
        open_sources(config, config_file.parent)
