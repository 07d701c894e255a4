from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from t2g_ros.training.config import ConfigError, load_train_config
from t2g_ros.training.side_mix import SideMix
from t2g_ros.training.sources import open_sources

STILLS = "sources=[{kind: stills, weight: 1, path: drive, labels: camvid11, mix: %s}]"


def test_a_side_of_another_image_comes_with_its_labels() -> None:
    here = np.arange(40, dtype=np.uint8)[None].repeat(20, axis=0)
    there = 100 + np.arange(20, dtype=np.uint8)[None].repeat(10, axis=0)  # half the size
    mix = SideMix([(SimpleNamespace(load=lambda _: (np.dstack([there] * 3), there)), 0)])  # type: ignore[list-item]
    image, kept = np.dstack([here] * 3), here.copy()
    found = set()
    for seed in range(60):
        mixed, labels, shown = mix.paste(image, here, np.random.default_rng(seed))
        assert shown is None
        new = labels >= 100
        assert (new == new[0]).all()  # from top to bottom, so what was at the horizon still is
        assert 10 <= new[0].sum() <= 30
        assert (np.diff(new[0].astype(int)) != 0).sum() == 1  # one seam
        assert (labels[~new] == here[~new]).all()
        assert (mixed[~new] == image[~new]).all()
        assert (np.abs(mixed[..., 0][new].astype(int) - labels[new]) <= 1).all()
        column, place = labels[0, new[0]] - 100, np.flatnonzero(new[0]) // 2
        plain = bool((column == place).all())
        assert plain or (column == 19 - place).all()  # what was at the side still is
        found.add((bool(new[0, 0]), plain))
    assert len(found) == 4  # left and right, as it is and mirrored
    np.testing.assert_array_equal(here, kept)


def test_stills_are_mixed_where_the_config_says_so(config_file: Path) -> None:
    drawn = []
    for chance in (0.0, 0.5, 1.0):
        config = load_train_config(config_file, [STILLS % chance])
        (source,) = open_sources(config, config_file.parent)
        original = [drive.labels(index) for drive, index in source.anchors.frames]  # type: ignore[attr-defined]
        clips = [source.clip(np.random.default_rng(seed), 2) for seed in range(40)]
        assert all((clip.labels[0] == clip.labels[1]).all() for clip in clips)  # every frame of a clip alike
        drawn.append(np.mean([not any((clip.labels[0] == each).all() for each in original) for clip in clips]))
    assert drawn[0] == 0
    assert 0.2 < drawn[1] < drawn[2]


def test_only_stills_are_mixed(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources\[0\]: mix is 0.5, expected 0: only stills are pasted into"):
        load_train_config(config_file, ["sources.0.mix=0.5"])
