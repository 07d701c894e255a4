from pathlib import Path

import numpy as np
import pytest

from t2g_ros.labels import CAMVID11
from t2g_ros.training.augment import AugmentConfig, augment_clip
from t2g_ros.training.batches import Batches
from t2g_ros.training.clips import STRIDES, RenderedClips, StillClips, VideoClips
from t2g_ros.training.config import load_train_config
from t2g_ros.training.datasets import LabelledFolder
from t2g_ros.training.synthetic import render_clip


def test_video_clips_are_neighbours_in_time_at_random_strides(drive: Path) -> None:
    source = VideoClips(LabelledFolder(drive, CAMVID11, video_fps=30.0))
    rng = np.random.default_rng(0)
    steps = set()
    for _ in range(50):
        times = source.clip(rng, 3).times_s
        assert (np.diff(times) >= 0).all()
        steps.update(np.round(np.diff(times), 3).tolist())
    assert steps == {0.0, 1.0, 2.0}  # 0: at the end of a drive the last frame is repeated


def test_video_clips_do_not_cross_drives(drive: Path) -> None:
    for folder in ("images", "labels"):
        for file in sorted((drive / folder).iterdir())[4:]:
            file.rename(file.with_name(file.name.replace("a_", "b_")))
    source = VideoClips(LabelledFolder(drive, CAMVID11, video_fps=30.0))
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert np.ptp(source.clip(rng, 3).times_s) <= 3.0


def test_still_clips_draw_every_stride(drive: Path) -> None:
    source = StillClips(LabelledFolder(drive, CAMVID11))
    rng = np.random.default_rng(0)
    drawn = {round(float(np.diff(source.clip(rng, 3).times_s)[0]) * 30) for _ in range(100)}
    assert drawn == set(STRIDES)


def test_rendered_clips_are_exact_at_their_times() -> None:
    source = RenderedClips(render_clip, ("day", "fog"), (5, 7))
    clip = source.clip(np.random.default_rng(3), 2)
    again = source.clip(np.random.default_rng(3), 2)
    assert np.array_equal(clip.images[1], again.images[1])
    assert clip.images[0].shape[:2] == clip.labels[0].shape
    assert clip.times_s[1] > clip.times_s[0]


def test_the_augmentation_is_shared_by_the_clip(drive: Path) -> None:
    """A frame repeated in a clip comes out the same but for its noise, and its labels exactly the same."""
    video = VideoClips(LabelledFolder(drive, CAMVID11, video_fps=30.0))
    raw = video.clip(np.random.default_rng(0), 1)
    doubled = type(raw)(raw.images * 2, raw.labels * 2, np.array([0.0, 0.1]), raw.space, needs_motion=False)
    for seed in range(20):
        clip = augment_clip(doubled, (128, 192), AugmentConfig(crop=(64, 128)), np.random.default_rng(seed))
        assert np.array_equal(clip.labels[0], clip.labels[1])
        assert abs(clip.images[0].mean() - clip.images[1].mean()) < 30


def test_labels_stay_on_their_pixels(drive: Path) -> None:
    """The car is by far the reddest thing of the clip, wherever the crop, flip and motion put it."""
    stills = StillClips(LabelledFolder(drive, CAMVID11))
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(20):
        clip = augment_clip(stills.clip(rng, 3), (128, 192), AugmentConfig(crop=(64, 128)), rng)
        assert clip.images.shape == (3, 64, 128, 3)
        assert clip.labels.shape == (3, 32, 64)
        red = clip.images[:, ::2, ::2, 0].astype(int) - clip.images[:, ::2, ::2, 2]
        car, road = clip.labels == CAMVID11.id_of("car"), clip.labels == CAMVID11.id_of("road")
        if car.sum() > 50 and road.any():
            seen += 1
            assert red[car].mean() > red[road].mean() + 20
    assert seen > 5


def test_times_rise_also_when_a_clip_plays_backwards(drive: Path) -> None:
    raw = StillClips(LabelledFolder(drive, CAMVID11)).clip(np.random.default_rng(0), 3)
    for reverse in (0.0, 1.0):
        config = AugmentConfig(crop=(64, 128), reverse=reverse)
        times = augment_clip(raw, (128, 192), config, np.random.default_rng(0)).times_s
        assert times[0] == 0
        assert (np.diff(times) > 0).all()


def test_a_step_s_clips_depend_on_seed_and_step_only(config_file: Path) -> None:
    config = load_train_config(config_file)
    first = Batches(config, config_file.parent)
    second = Batches(config, config_file.parent)
    in_order = [first.clips(step) for step in range(3)][2]
    directly = second.clips(2)
    first.close()
    second.close()
    for a, b in zip(in_order, directly, strict=True):
        assert np.array_equal(a.images, b.images)
        assert np.array_equal(a.labels, b.labels)
        assert a.times_s == pytest.approx(b.times_s)


def test_rare_classes_weigh_more(config_file: Path) -> None:
    batches = Batches(load_train_config(config_file), config_file.parent)
    batches.close()
    weights = batches.weights["camvid11"]
    assert weights[CAMVID11.id_of("car")] > weights[CAMVID11.id_of("road")]
