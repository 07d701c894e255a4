from pathlib import Path

import numpy as np
import pytest
from dataset_trees import cityscapes, kitti360

from t2g_ros.labels import CAMVID11, CITYSCAPES19, DGVSS15, IGNORE, remap_table
from t2g_ros.training.clips import STRIDES, RenderedClips, StillClips, VideoClips
from t2g_ros.training.config import DataConfig
from t2g_ros.training.drives import Footage, open_footage
from t2g_ros.training.rare_classes import RareClassSampler, count_classes
from t2g_ros.training.synthetic import render_clip


def footage(drive: Path, *, video: bool = True, sparse: bool = False) -> Footage:
    data = DataConfig(path=drive.name, labels="camvid11", sparse=sparse)
    return open_footage(data, drive.parent, CITYSCAPES19, video=video)


def test_video_clips_are_frames_of_a_drive_at_random_strides(drive: Path) -> None:
    source = VideoClips(footage(drive), strides=(1, 2))
    rng = np.random.default_rng(0)
    steps = set()
    for _ in range(50):
        times = source.clip(rng, 3).times_s
        assert (np.diff(times) >= 0).all()
        steps.update(np.round(np.diff(times), 3).tolist())
    assert steps == {0.0, 1.0, 2.0}  # 0: at the end of a drive the last frame is repeated


def test_by_default_the_strides_are_the_paper_s(drive: Path) -> None:
    source = VideoClips(footage(drive))
    rng = np.random.default_rng(0)
    steps = {round(float(np.diff(source.clip(rng, 2).times_s)[0])) for _ in range(200)}
    assert steps == {0, 1, 2, 3, 4, 5}


def test_video_clips_do_not_cross_drives(drive: Path) -> None:
    for folder in ("images", "labels"):
        for file in sorted((drive / folder).iterdir())[4:]:
            file.rename(file.with_name(file.name.replace("a_", "b_")))
    source = VideoClips(footage(drive), strides=(1, 2))
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert np.ptp(source.clip(rng, 3).times_s) <= 3.0


def test_video_clips_do_not_cross_a_long_pause(drive: Path) -> None:
    for folder in ("images", "labels"):
        for file in sorted((drive / folder).iterdir())[4:]:
            number = int(file.stem.split("_")[1])
            file.rename(file.with_name(f"a_{number + 300:05d}.png"))
    source = VideoClips(footage(drive), strides=(1, 2))
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert np.ptp(source.clip(rng, 3).times_s) <= 3.0


def test_unlabelled_frames_of_a_sparse_video_are_memory(drive: Path) -> None:
    """One frame of eight is labelled: every clip holds it, at any place, and nothing else is supervised."""
    for file in sorted((drive / "labels").iterdir()):
        if file.stem != "a_00120":
            file.unlink()
    source = VideoClips(footage(drive, sparse=True), strides=(1,))
    rng = np.random.default_rng(0)
    places = set()
    for _ in range(40):
        clip = source.clip(rng, 5)
        labelled = [bool((labels != IGNORE).any()) for labels in clip.labels]
        assert labelled == [time == 4.0 for time in clip.times_s]
        assert labelled[clip.anchor]
        assert len({image.tobytes() for image in clip.images}) == len(set(clip.times_s))
        places.add(clip.anchor)
    assert places == {1, 2, 3}  # the first frame of a clip is not supervised, in either direction of play


@pytest.mark.parametrize(("layout", "build", "labelled"), [("cityscapes", cityscapes, 3), ("kitti360", kitti360, 2)])
def test_sparse_clips_of_a_data_set_are_read_from_its_official_layout(
    tmp_path: Path, layout: str, build, labelled: int
) -> None:
    data = DataConfig(path=build(tmp_path / "data").name, layout=layout)
    source = VideoClips(open_footage(data, tmp_path, DGVSS15, video=True), strides=(1,))
    assert source.space is DGVSS15
    assert len(source.anchors.frames) == labelled
    clip = source.clip(np.random.default_rng(1), 3)
    known = [labels for labels in clip.labels if (labels != IGNORE).any()]
    assert known
    assert set(np.unique(known[0])) <= {*range(len(DGVSS15)), IGNORE}


def test_still_clips_draw_every_stride(drive: Path) -> None:
    source = StillClips(footage(drive, video=False))
    rng = np.random.default_rng(0)
    drawn = {round(float(np.diff(source.clip(rng, 3).times_s)[0]) * 30) for _ in range(100)}
    assert drawn == set(STRIDES)
    fixed = StillClips(footage(drive, video=False), strides=(3,))
    assert np.diff(fixed.clip(rng, 3).times_s) == pytest.approx([0.1, 0.1])


def test_rendered_clips_are_exact_at_their_times() -> None:
    source = RenderedClips(render_clip, ("day", "fog"), (5, 7))
    clip = source.clip(np.random.default_rng(3), 2)
    again = source.clip(np.random.default_rng(3), 2)
    assert np.array_equal(clip.images[1], again.images[1])
    assert clip.images[0].shape[:2] == clip.labels[0].shape
    assert clip.times_s[1] > clip.times_s[0]
    coarse = RenderedClips(render_clip, ("day", "fog"), (5, 7), DGVSS15, remap_table(CITYSCAPES19, DGVSS15))
    expected = remap_table(CITYSCAPES19, DGVSS15)[clip.labels[1]]
    assert np.array_equal(coarse.clip(np.random.default_rng(3), 2).labels[1], expected)


def test_classes_are_counted_per_frame_on_every_fourth_pixel(drive: Path) -> None:
    data = footage(drive)
    data.drives[0].images[5].labels[48:56, 4:12] = CAMVID11.id_of("sign")  # type: ignore[attr-defined]
    counts = count_classes([(data.drives[0], index) for index in range(8)], len(CAMVID11))
    assert counts[:, CAMVID11.id_of("sign")].tolist() == [0, 0, 0, 0, 0, 4, 0, 0]
    assert counts[0, CAMVID11.id_of("road")] == (data.drives[0].labels(0)[::4, ::4] == 3).sum()


def share_of_frame_5(source: VideoClips, draws: int = 300) -> float:
    rng = np.random.default_rng(0)
    return float(np.mean([source.anchors.draw(rng)[1] == 5 for _ in range(draws)]))


def test_rare_class_sampling_favours_the_frames_that_show_them(drive: Path) -> None:
    data = footage(drive)
    data.drives[0].images[5].labels[50:66, 5:21] = CAMVID11.id_of("sign")  # type: ignore[attr-defined]
    frames = [(data.drives[0], index) for index in range(8)]
    evenly = VideoClips(data)
    rare = VideoClips(data, rare=RareClassSampler(frames, count_classes(frames, len(CAMVID11)), temperature=0.05))
    assert share_of_frame_5(evenly) == pytest.approx(1 / 8, abs=0.05)
    assert share_of_frame_5(rare) > 0.4
    clips = [rare.clip(np.random.default_rng(7), 3) for _ in range(2)]
    assert np.array_equal(clips[0].images[0], clips[1].images[0])
    assert clips[0].wanted_class == clips[1].wanted_class


def test_rare_class_probabilities_by_hand(drive: Path) -> None:
    counts = np.array([[90, 10, 0], [100, 0, 0]])
    p = RareClassSampler([(footage(drive).drives[0], index) for index in range(2)], counts, temperature=0.5).p
    common, rare = np.exp((1 - 190 / 200) / 0.5), np.exp((1 - 10 / 200) / 0.5)
    assert p == pytest.approx([common / (common + rare), rare / (common + rare), 0])


def test_counted_classes_are_kept_on_disk(drive: Path, tmp_path: Path) -> None:
    data = footage(drive)
    frames = [(data.drives[0], index) for index in range(8)]
    counts = count_classes(frames, len(CAMVID11), cache=tmp_path / "counts.safetensors")
    data.drives[0].images.clear()  # type: ignore[attr-defined]
    again = count_classes(frames, len(CAMVID11), cache=tmp_path / "counts.safetensors")
    assert np.array_equal(again, counts)
