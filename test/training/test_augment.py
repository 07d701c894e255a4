from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from t2g_ros.labels import CAMVID11, CITYSCAPES19
from t2g_ros.training.augment import AugmentConfig, augment_clip
from t2g_ros.training.clip import RawClip
from t2g_ros.training.clips import StillClips, VideoClips
from t2g_ros.training.config import DataConfig
from t2g_ros.training.drives import open_footage

CONFIG = AugmentConfig(crop=(64, 128))


@pytest.fixture
def video(drive: Path) -> VideoClips:
    data = DataConfig(path=drive.name, labels="camvid11")
    return VideoClips(open_footage(data, drive.parent, CITYSCAPES19, video=True))


@pytest.fixture
def stills(drive: Path) -> StillClips:
    data = DataConfig(path=drive.name, labels="camvid11")
    return StillClips(open_footage(data, drive.parent, CITYSCAPES19, video=False))


def test_the_augmentation_is_shared_by_the_clip(video: VideoClips) -> None:
    """A frame repeated in a clip comes out the same but for its noise, and its labels exactly the same."""
    raw = video.clip(np.random.default_rng(0), 1)
    doubled = replace(raw, images=raw.images * 2, labels=raw.labels * 2, times_s=np.array([0.0, 0.1]))
    for seed in range(20):
        clip = augment_clip(doubled, (128, 192), CONFIG, np.random.default_rng(seed))
        assert np.array_equal(clip.labels[0], clip.labels[1])
        assert abs(clip.images[0].mean() - clip.images[1].mean()) < 30


def test_labels_stay_on_their_pixels(stills: StillClips) -> None:
    """The car is by far the reddest thing of the clip, wherever the crop, flip and motion put it."""
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(20):
        clip = augment_clip(stills.clip(rng, 3), (128, 192), CONFIG, rng)
        assert clip.images.shape == (3, 64, 128, 3)
        assert clip.labels.shape == (3, 32, 64)
        red = clip.images[:, ::2, ::2, 0].astype(int) - clip.images[:, ::2, ::2, 2]
        car, road = clip.labels == CAMVID11.id_of("car"), clip.labels == CAMVID11.id_of("road")
        if car.sum() > 50 and road.any():
            seen += 1
            assert red[car].mean() > red[road].mean() + 20
    assert seen > 5


def test_large_images_are_averaged_down_and_stay_on_their_labels() -> None:
    """A checkerboard of single pixels, shrunk by 4, is grey; an edge in it stays where the label's edge is."""
    board = np.indices((512, 1024)).sum(axis=0) % 2 * 200
    board[:, 600:] = 255
    labels = np.zeros((512, 1024), np.uint8)
    labels[:, 600:] = 1
    raw = RawClip([cv2.cvtColor(board.astype(np.uint8), cv2.COLOR_GRAY2RGB)], [labels], np.zeros(1), CAMVID11, False)
    config = AugmentConfig(crop=(128, 256), scale=(1.0, 1.0), aspect=0.0)
    for seed in range(8):
        clip = augment_clip(raw, (128, 256), config, np.random.default_rng(seed))
        grey = cv2.GaussianBlur(clip.images[0, ::2, ::2].mean(axis=2), (1, 3), 0)
        dark, light = grey[clip.labels[0] == 0], grey[clip.labels[0] == 1]
        assert np.ptp(np.median(grey[:, 10:40], axis=0)) < 12
        middle = (np.median(dark) + np.median(light)) / 2
        assert ((grey > middle) == (clip.labels[0] == 1)).mean() > 0.98


def test_times_rise_also_when_a_clip_plays_backwards(stills: StillClips) -> None:
    raw = stills.clip(np.random.default_rng(0), 3)
    for reverse in (0.0, 1.0):
        times = augment_clip(raw, (128, 192), replace(CONFIG, reverse=reverse), np.random.default_rng(0)).times_s
        assert times[0] == 0
        assert (np.diff(times) > 0).all()


def test_a_reversed_clip_shows_its_frames_backwards(video: VideoClips) -> None:
    raw = replace(video.clip(np.random.default_rng(3), 3), times_s=np.array([0.0, 1.0, 5.0]))
    forth, back = (
        augment_clip(raw, (128, 192), replace(CONFIG, reverse=reverse), np.random.default_rng(0))
        for reverse in (0.0, 1.0)
    )
    assert np.array_equal(forth.labels, back.labels[::-1])
    assert back.times_s.tolist() == [0, 4, 5]


def shares(raw: RawClip, config: AugmentConfig, wanted: int) -> list[float]:
    clips = [augment_clip(raw, (256, 384), config, np.random.default_rng(seed)) for seed in range(40)]
    return [float((clip.labels[clip.labels != 255] == wanted).mean()) for clip in clips]


def test_crops_of_one_class_alone_are_drawn_again(video: VideoClips) -> None:
    raw, road = video.clip(np.random.default_rng(0), 1), CAMVID11.id_of("road")
    plain = shares(raw, CONFIG, road)
    assert sum(share > 0.9 for share in plain) > 5
    varied = shares(raw, replace(CONFIG, max_class_share=0.9), road)
    assert sum(share > 0.92 for share in varied) < sum(share > 0.92 for share in plain) / 3


def test_a_clip_drawn_for_a_class_is_cropped_to_show_it(video: VideoClips) -> None:
    raw, car = video.clip(np.random.default_rng(0), 1), CAMVID11.id_of("car")
    without = shares(raw, CONFIG, car)
    wanted = shares(replace(raw, wanted_class=car), CONFIG, car)
    assert sum(share == 0 for share in without) > 5
    assert sum(share == 0 for share in wanted) < 2
