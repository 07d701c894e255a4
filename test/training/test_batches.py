from pathlib import Path

import numpy as np
import pytest
import torch

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11
from t2g_ros.training.batches import Batch, Batches
from t2g_ros.training.config import ConfigError, load_train_config
from t2g_ros.training.sources import open_sources


def batches(config_file: Path, *overrides: str, rank: int = 0, processes: int = 1) -> Batches:
    config = load_train_config(config_file, [*overrides])
    return Batches(config, open_sources(config, config_file.parent), rank, processes)


def same(a: Batch, b: Batch) -> bool:
    tensors = all(torch.equal(x, y) for x, y in zip(a[:3], b[:3], strict=True))
    return tensors and a.spaces == b.spaces and a.seeds == b.seeds


def test_a_step_s_clips_depend_on_seed_and_step_only(config_file: Path) -> None:
    first, second, other = (
        batches(config_file),
        batches(config_file, "workers=2"),
        batches(config_file, "seed=1"),
    )
    in_order = [first.batch(step) for step in range(3)]
    assert same(in_order[2], second.batch(2))
    assert same(in_order[0], second.batch(0))  # also when a run goes back
    assert not same(in_order[0], in_order[1])
    assert not same(in_order[0], other.batch(0))
    assert in_order[0].images.shape == (2, 3, 3, 64, 128)
    assert in_order[0].labels.shape == (2, 3, 32, 64)


def test_workers_prepare_the_steps_in_order(config_file: Path) -> None:
    drawn = batches(config_file, "workers=2")
    found = list(drawn.from_step(2))
    assert len(found) == 4  # of 6 steps
    for step, batch in enumerate(found, start=2):
        assert same(batch, drawn.batch(step))


def test_processes_share_the_clips_of_one(config_file: Path) -> None:
    whole = batches(config_file, "clips_per_step=4")
    halves = [batches(config_file, "clips_per_step=4", rank=rank, processes=2) for rank in range(2)]
    expected, parts = whole.batch(1), [half.batch(1) for half in halves]
    assert torch.equal(expected.images, torch.cat([part.images for part in parts]))
    assert torch.equal(expected.labels, torch.cat([part.labels for part in parts]))
    assert expected.seeds == parts[0].seeds + parts[1].seeds
    assert len(set(expected.seeds)) == 4


def test_clips_that_cannot_be_shared_evenly_are_refused(config_file: Path) -> None:
    with pytest.raises(ConfigError, match="clips_per_step is 3, expected a multiple of the 2 processes"):
        batches(config_file, "clips_per_step=3", processes=2)


def test_rare_classes_weigh_more(config_file: Path) -> None:
    drawn = batches(config_file)
    weights = drawn.class_weights()["camvid11"]
    assert weights[CAMVID11.id_of("car")] > weights[CAMVID11.id_of("road")]


def test_a_damaged_file_of_a_clip_stops_with_its_name(config_file: Path, drive: Path) -> None:
    """A data set is read as needed, so damage is met in the middle of a run."""
    from dataset_trees import cityscapes

    root = cityscapes(drive.parent / "cityscapes")
    for label in root.rglob("*_labelIds.png"):
        label.write_bytes(b"no image")
    source = "sources=[{kind: video, layout: cityscapes, path: cityscapes, weight: 1}]"
    drawn = batches(config_file, source)
    with pytest.raises(InputError, match=r"^labels .*_gtFine_labelIds\.png: cannot be decoded"):
        next(drawn.from_step(0))  # from another process


def test_rare_class_sampling_is_the_same_for_one_seed(config_file: Path) -> None:
    first, second = (batches(config_file, "rare_class_temperature=0.05") for _ in range(2))
    plain = batches(config_file)
    assert same(first.batch(3), second.batch(3))
    cars = [
        np.mean([(drawn.batch(step).labels == CAMVID11.id_of("car")).float().mean() for step in range(12)])
        for drawn in (first, plain)
    ]
    assert cars[0] > cars[1]


def test_clips_of_one_rendered_drive_differ_in_what_is_cut(config_file: Path) -> None:
    rendered = "sources=[{kind: rendered, weight: 1, styles: [day]}, {kind: rendered, weight: 1, styles: [night]}]"
    drawn = batches(config_file, rendered, "clips_per_step=4", "clips_per_render=2")
    calls = []
    for source in drawn.sources:
        render = source.render
        source.render = lambda *of, render=render: calls.append(of) or render(*of)
    batch = drawn.batch(0)
    assert len(calls) == 2
    levels = batch.images.float().mean(dim=(1, 2, 3, 4))
    assert len({float(level) for level in levels}) == 4
    fresh = batches(config_file, rendered, "clips_per_step=4", "clips_per_render=2")
    assert np.array_equal(fresh.clip(0, 3).images, drawn.clip(0, 3).images)  # whoever draws it, in whatever order
