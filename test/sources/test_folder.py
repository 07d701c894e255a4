from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from recordings import ids, make_folder, picture

from t2g_ros.errors import InputError
from t2g_ros.sources import open_source
from t2g_ros.sources.images import read_rgb

CAMVID_VAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "camvid" / "val"


def test_frames_come_in_natural_order_with_their_own_pixels(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["f_1", "f_2", "f_10", "f_11"], nested=False)
    frames = list(open_source(frames=folder, fps=5))
    assert [f.name for f in frames] == ["f_1", "f_2", "f_10", "f_11"]
    for index, item in enumerate(frames):
        np.testing.assert_array_equal(item.frame.rgb, picture(index))
        assert item.labels is None


def test_frames_nobody_wants_are_not_decoded(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", [str(i) for i in range(7)], highest_id=3)
    (folder / "images" / "1.png").write_bytes(b"no image")
    (folder / "labels" / "2.png").write_bytes(b"no label")
    source = open_source(frames=folder, fps=10, label_space="camvid11")
    frames = list(source.read(lambda index: index % 3 == 0))
    assert [(item.index, item.name, item.frame.stamp_ns) for item in frames] == [
        (0, "0", 0),
        (3, "3", 300_000_000),
        (6, "6", 600_000_000),
    ]
    np.testing.assert_array_equal(frames[1].labels, ids(3, 3))
    assert source.losses == []


def test_damaged_files_are_left_out_and_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", [str(i) for i in range(5)], highest_id=3)
    (folder / "images" / "1.png").write_bytes(b"no image")
    (folder / "images" / "3.png").write_bytes((folder / "images" / "3.png").read_bytes()[:60])
    (folder / "labels" / "2.png").write_bytes(b"no label")
    source = open_source(frames=folder, fps=10, label_space="camvid11")
    assert [(item.index, item.frame.stamp_ns, item.labels is None) for item in source] == [
        (0, 0, False),
        (2, 200_000_000, True),
        (4, 400_000_000, False),
    ]
    assert source.losses == [
        "an image cannot be decoded, 2 times: first 1.png",
        "a label file cannot be decoded: 2.png",
    ]


def test_stamps_follow_the_rate_without_drift(tmp_path: Path) -> None:
    source = open_source(frames=make_folder(tmp_path / "d", [f"{i}" for i in range(16)]), fps=15)
    stamps = [f.frame.stamp_ns for f in source]
    assert len(source) == 16
    assert stamps[0] == 0
    assert stamps[15] == 1_000_000_000
    assert {b - a for a, b in pairwise(stamps)} <= {66_666_666, 66_666_667}


def test_a_rate_that_nothing_says_is_assumed_and_told(tmp_path: Path) -> None:
    source = open_source(frames=make_folder(tmp_path / "d", ["0", "1"]))
    assert source.fps == 10
    assert "--fps" in source.assumptions[0]


def test_clip_yaml_gives_rate_and_label_space(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"], highest_id=3)
    (folder / "clip.yaml").write_text("fps: 4\nlabels: cityscapes19\n")
    source = open_source(frames=folder)
    assert [f.frame.stamp_ns for f in source] == [0, 250_000_000, 500_000_000]
    assert source.label_space is not None
    assert source.label_space.name == "cityscapes19"
    assert source.assumptions == ()
    assert [f.frame.stamp_ns for f in open_source(frames=folder, fps=2)][1] == 500_000_000


def test_clip_yaml_without_rate_takes_the_stems_as_nanoseconds(tmp_path: Path) -> None:
    stems = ["1700000000000000000", "1700000000033000000", "1700000000500000000"]
    folder = make_folder(tmp_path / "d", stems)
    (folder / "clip.yaml").write_text("labels: cityscapes19\n")
    source = open_source(frames=folder)
    assert [f.frame.stamp_ns for f in source] == [int(s) for s in stems]
    assert source.fps == pytest.approx(4.0)
    (folder / "images" / "extra.png").write_bytes((folder / "images" / f"{stems[0]}.png").read_bytes())
    with pytest.raises(InputError, match=r"extra\.png should be named by its stamp"):
        open_source(frames=folder)


@pytest.mark.parametrize(("highest", "expected"), [(10, "camvid11"), (11, "cityscapes19"), (18, "cityscapes19")])
def test_the_ids_tell_the_label_space(tmp_path: Path, highest: int, expected: str) -> None:
    source = open_source(frames=make_folder(tmp_path / "d", ["a", "b"], highest_id=highest), fps=1)
    assert source.label_space is not None
    assert source.label_space.name == expected
    assert expected in source.assumptions[0]
    for index, item in enumerate(source):
        np.testing.assert_array_equal(item.labels, ids(index, highest))


def test_a_given_label_space_wins_over_the_guess(tmp_path: Path) -> None:
    source = open_source(frames=make_folder(tmp_path / "d", ["a"], highest_id=5), fps=1, label_space="cityscapes19")
    assert source.label_space is not None
    assert source.label_space.name == "cityscapes19"


def test_ids_of_no_known_space_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"id 19 is neither.*--label-space"):
        open_source(frames=make_folder(tmp_path / "d", ["a"], highest_id=19), fps=1)


def test_an_id_beyond_the_given_space_names_the_file(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["a"], highest_id=12)
    with pytest.raises(InputError, match=r"a\.png: id 12 is not in camvid11"):
        list(open_source(frames=folder, fps=1, label_space="camvid11"))


def test_frames_without_a_label_are_kept(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["a", "b", "c"], highest_id=3)
    (folder / "labels" / "b.png").unlink()
    assert [f.labels is None for f in open_source(frames=folder, fps=1)] == [False, True, False]


def test_label_size_and_kind_are_checked(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["a"], highest_id=3)
    label = str(folder / "labels" / "a.png")
    cv2.imwrite(label, ids(0, 3)[:-1])
    with pytest.raises(InputError, match=r"a\.png: size \(47, 64\)"):
        list(open_source(frames=folder, fps=1))
    cv2.imwrite(label, picture(0))
    with pytest.raises(InputError, match="expected one 8-bit channel"):
        open_source(frames=folder, fps=1)


def test_missing_and_empty_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: not a folder"):
        open_source(frames=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no image"):
        open_source(frames=tmp_path / "empty")


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["a"])
    (folder / "images" / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="same stem"):
        open_source(frames=folder)


@pytest.mark.parametrize("text", ["fps: -1", "fps: fast", "- 1", "fps: [", "labels: mars\nfps: 1"])
def test_a_wrong_clip_yaml_is_named(tmp_path: Path, text: str) -> None:
    folder = make_folder(tmp_path / "d", ["a"], highest_id=1)
    (folder / "clip.yaml").write_text(text)
    with pytest.raises(InputError, match=r"clip\.yaml|unknown label space 'mars'"):
        open_source(frames=folder)


def test_the_hash_follows_content_and_names_and_not_the_place(tmp_path: Path) -> None:
    one = open_source(frames=make_folder(tmp_path / "one", ["a", "b"], highest_id=1), fps=1).content_hash()
    same = make_folder(tmp_path / "two", ["a", "b"], highest_id=1)
    assert open_source(frames=same, fps=1).content_hash() == one
    cv2.imwrite(str(same / "labels" / "b.png"), ids(5, 3))
    assert open_source(frames=same, fps=1).content_hash() != one
    renamed = make_folder(tmp_path / "three", ["a", "c"], highest_id=1)
    assert open_source(frames=renamed, fps=1).content_hash() != one


def test_exactly_one_source_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exactly one"):
        open_source()
    with pytest.raises(InputError, match="exactly one"):
        open_source(frames=tmp_path, video=tmp_path)
    with pytest.raises(InputError, match="fps is -1"):
        open_source(frames=tmp_path, fps=-1)


def test_camvid_val_opens_as_camvid11() -> None:
    if not CAMVID_VAL.is_dir():
        pytest.skip(f"no {CAMVID_VAL}")
    source = open_source(frames=CAMVID_VAL, fps=15)
    first = next(iter(source))
    assert len(source) == 101
    assert source.label_space is not None
    assert source.label_space.name == "camvid11"
    assert first.name == "0016E5_07959"
    assert first.labels is not None
    assert first.labels.shape == first.frame.size == (360, 480)


def test_the_shipped_drive_says_its_rate_and_label_space() -> None:
    drive = Path(__file__).resolve().parents[1] / "data" / "drive"
    if not drive.is_dir():
        pytest.skip(f"no {drive}")
    source = open_source(frames=drive)
    assert source.assumptions == ()
    assert source.fps == yaml.safe_load((drive / "clip.yaml").read_text())["fps"]
    assert all(item.labels is not None for item in source)


def test_a_truncated_jpeg_file_is_refused_by_name(tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", picture(0))
    (tmp_path / "a.jpg").write_bytes(data.tobytes()[: len(data) // 2])
    with pytest.raises(InputError, match=r"a\.jpg: is a truncated JPEG"):
        read_rgb(tmp_path / "a.jpg")
