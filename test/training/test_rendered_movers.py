from pathlib import Path

import numpy as np
import pytest

from t2g_ros.labels import CAMVID11, CITYSCAPES19, IGNORE
from t2g_ros.labels.groups import remap_table
from t2g_ros.training.batches import Batches
from t2g_ros.training.config import ConfigError, load_train_config
from t2g_ros.training.rendered_movers import CLASSES, RenderedMovers
from t2g_ros.training.sources import open_sources
from t2g_ros.training.synthetic import Drive
from t2g_ros.training.synthetic.drive import SEEN_M
from t2g_ros.training.synthetic.parade import AHEAD_M, Parade

SEEDS = (1000, 1040)
ROAD = CITYSCAPES19.id_of("road")
SAME = np.arange(256, dtype=np.uint8)


def pasted(table: np.ndarray = SAME, count: int = 16) -> list[tuple[np.ndarray, np.ndarray, int | None]]:
    """(image, labels, class to look for) of a grey road with movers."""
    movers = RenderedMovers(SEEDS, table)
    image, labels = np.full((96, 300, 3), 90, np.uint8), np.full((96, 300), ROAD, np.uint8)
    found = [movers.paste(image, labels, np.random.default_rng(seed)) for seed in range(count)]
    assert (image == 90).all()
    assert (labels == ROAD).all()
    return found


def test_large_vehicles_and_cycles_are_pasted_with_their_labels_and_nothing_else() -> None:
    seen: set[int] = set()
    for image, labels, wanted in pasted():
        movers = labels != ROAD
        seen |= set(np.unique(labels[movers]).tolist())
        # What is not a mover stays as it was, but for a soft edge of a pixel.
        beside = np.pad(movers, 1)
        near = np.logical_or.reduce([beside[y : y + 96, x : x + 300] for y in range(3) for x in range(3)])
        assert (image[~near] == 90).all()
        if movers.sum() > 200:
            assert np.abs(image[movers].astype(int) - 90).mean() > 5
        assert wanted is None or (labels == wanted).mean() > 0.001
    assert seen <= set(CLASSES)
    assert CITYSCAPES19.id_of("train") in seen
    assert len(seen) >= 4


def test_what_is_pasted_is_as_noisy_as_the_camera_s_picture() -> None:
    movers = RenderedMovers(SEEDS, SAME)
    labels = np.full((96, 300), ROAD, np.uint8)
    noise = np.random.default_rng(0).normal(0, 12, (96, 300, 1))
    clean = np.full((96, 300, 3), 110, np.uint8)
    noisy = np.rint(clean + noise).astype(np.uint8)
    shares = []
    for seed in range(12):
        (smooth, there, _), (rough, _, _) = (
            movers.paste(image, labels, np.random.default_rng(seed)) for image in (clean, noisy)
        )
        inner = there != ROAD
        if inner.sum() > 400:
            shares.append((rough[inner].astype(float) - smooth[inner]).std() / 12)
    assert len(shares) >= 6
    assert 0.4 < np.median(shares) < 1.2  # reflections alone give a fifth


def test_movers_stand_on_the_road_below_the_horizon() -> None:
    # Their feet are below the middle, and what is far away ends near it.
    lowest = [np.argwhere(labels != ROAD)[:, 0].max() for _, labels, _ in pasted() if (labels != ROAD).any()]
    assert min(lowest) >= 47
    assert max(lowest) > 60


def test_what_is_pasted_does_not_need_the_far_end_of_the_street() -> None:
    shares = []
    for seed in range(1000, 1006):
        whole, near = (Drive(seed, "day", (128, 400), seen_m=metres) for metres in (SEEN_M, AHEAD_M))
        for drive in (whole, near):
            drive.traffic = Parade(np.random.default_rng(seed), drive.ego)
        (_, labels), (_, nearer) = whole.render(3.0), near.render(3.0)
        movers = np.isin(labels, CLASSES) | np.isin(nearer, CLASSES)
        shares.append((labels != nearer)[movers].mean())
        assert (labels != nearer)[~movers].any()  # that end is not built
    assert max(shares) < 0.02


def test_a_coarser_label_space_takes_what_it_knows_and_ignores_the_rest() -> None:
    table = remap_table(CITYSCAPES19, CAMVID11)
    bicyclist, unknown = CAMVID11.id_of("bicyclist"), 0
    for (_, fine, _), (_, coarse, _) in zip(pasted(), pasted(table), strict=True):
        there = fine != ROAD
        np.testing.assert_array_equal(coarse[there], table[fine[there]])
        unknown += int((coarse[there] == IGNORE).sum())
        assert set(np.unique(coarse[there])) <= {bicyclist, IGNORE}
    assert unknown


def test_stills_get_movers_where_the_config_says_so(config_file: Path) -> None:
    stills = "sources=[{kind: stills, weight: 1, path: drive, labels: camvid11, paste_rendered: %s}]"
    shares = []
    for chance in (0.0, 1.0):
        config = load_train_config(config_file, [stills % chance])
        batches = Batches(config, open_sources(config, config_file.parent))
        shares.append(
            np.mean([(batches.clip(0, index).labels == CAMVID11.id_of("bicyclist")).mean() for index in range(12)])
        )
    assert shares[1] > shares[0]


def test_only_stills_are_pasted_into(config_file: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"sources\[0\]: paste_rendered is 0.5, expected 0: only stills are pasted into"
    ):
        load_train_config(config_file, ["sources.0.paste_rendered=0.5"])


@pytest.mark.parametrize("key", ["mix", "paste", "paste_rendered"])
def test_a_chance_is_refused_above_1(config_file: Path, key: str) -> None:
    stills = "sources=[{kind: stills, weight: 1, path: drive, labels: camvid11}]"
    with pytest.raises(ConfigError, match=rf"sources\[0\]: {key} is 1.5, expected 0 to 1"):
        load_train_config(config_file, [stills, f"sources.0.{key}=1.5", "rare_class_temperature=0.1"])
