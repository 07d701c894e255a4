"""Every reader on a small tree in exactly the layout that the data set is published in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_trees import (
    CAMERA,
    DRIVE,
    SHAPE,
    TREES,
    apolloscape,
    camvid11,
    camvid32,
    cityscapes,
    kitti360,
    write_ids,
    write_image,
)
from recordings import picture

from t2g_ros.cli import main
from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11, CAMVID32, CITYSCAPES19, DGVSS15, LabelSpace
from t2g_ros.sources import Source
from t2g_ros.sources.datasets import list_sequences, open_dataset


def left(labels: np.ndarray | None, count: int) -> list[int]:
    assert labels is not None
    assert labels.shape == SHAPE
    assert labels.dtype == np.uint8
    return labels[5, :count].tolist()


APOLLO = "road02_ins/Record001/Camera 5"


@pytest.mark.parametrize(
    ("kind", "sequences", "space"),
    [
        (
            "cityscapes",
            ["val/frankfurt_000000_000100", "val/frankfurt_000000_000130", "val/frankfurt_000001_000007"],
            CITYSCAPES19,
        ),
        ("kitti360", [DRIVE, "2013_05_28_drive_0008_sync"], CITYSCAPES19),
        ("apolloscape", [APOLLO, "road03_seg/Record001/Camera 6"], DGVSS15),
        ("camvid11", ["train/0001TP_006690", "train/Seq05VD_f00030", "val/0016E5_07959"], CAMVID11),
        ("camvid32", ["0016E5_07959", "Seq05VD_f00000"], CAMVID32),
    ],
)
def test_sequences_are_listed_and_opened_by_name(
    tmp_path: Path, kind: str, sequences: list[str], space: LabelSpace
) -> None:
    root = TREES[kind](tmp_path)
    assert list_sequences(kind, root) == sequences
    every = open_dataset(kind, root)
    assert [len(source) for source in every] == [len(list(source)) for source in every]
    assert every[0].label_space is space
    (chosen,) = open_dataset(kind, root, sequences[1])
    assert [item.name for item in chosen] == [item.name for item in every[1]]
    with pytest.raises(InputError, match=rf"no sequence 'mars'; it has {sequences[0]}"):
        open_dataset(kind, root, "mars")


def stamps_ms(source: Source) -> list[float]:
    stamps = [item.frame.stamp_ns for item in source]
    return [(stamp - stamps[0]) / 1e6 for stamp in stamps]


def test_a_cityscapes_snippet_has_30_frames_and_labels_on_its_20th(tmp_path: Path) -> None:
    for source in open_dataset("cityscapes", cityscapes(tmp_path)):
        frames = list(source)
        assert len(frames) == 30
        assert [i for i, item in enumerate(frames) if item.labels is not None] == [19]
        assert left(frames[19].labels, 7) == [0, 255, 18, 9, 255, 255, 255]
        assert source.fps == pytest.approx(17)
        assert frames[0].frame.stamp_ns == 0
        assert stamps_ms(source)[17] == pytest.approx(1000)
    assert frames[0].name == "frankfurt_000001_000007_leftImg8bit"
    np.testing.assert_array_equal(frames[3].frame.rgb, picture(10))


def test_a_cityscapes_snippet_ends_where_a_frame_is_missing(tmp_path: Path) -> None:
    root = cityscapes(tmp_path)
    (root / "leftImg8bit_sequence/val/frankfurt/frankfurt_000000_000112_leftImg8bit.png").unlink()
    first, second, *_ = open_dataset("cityscapes", root)
    assert (len(first), len(second)) == (12, 30)
    assert first.label_space is None


def test_cityscapes_train_ids_are_read_where_there_are_no_label_ids(tmp_path: Path) -> None:
    root = cityscapes(tmp_path)
    for path in (root / "gtFine/val/frankfurt").glob("*_labelIds.png"):
        write_ids(path.with_name(path.name.replace("labelIds", "labelTrainIds")), 0, 18, 255)
    with_both = [item.labels for item in open_dataset("cityscapes", root)[0]][19]
    assert left(with_both, 3) == [0, 255, 18]
    for path in (root / "gtFine/val/frankfurt").glob("*_labelIds.png"):
        path.unlink()
    assert left([item.labels for item in open_dataset("cityscapes", root)[0]][19], 3) == [0, 18, 255]


def test_kitti360_labels_are_sparse_and_frame_numbers_tell_the_time(tmp_path: Path) -> None:
    source, unlabelled = open_dataset("kitti360", kitti360(tmp_path))
    frames = list(source)
    assert [item.name[-1] for item in frames if item.labels is not None] == ["2", "5"]
    assert left(frames[1].labels, 6) == [0, 2, 4, 5, 255, 15]
    assert stamps_ms(source) == [0, 100, 200, 400]
    assert unlabelled.fps == 10


def test_kitti360_timestamps_are_those_of_the_frame_number(tmp_path: Path) -> None:
    root = kitti360(tmp_path)
    times = root / f"data_2d_raw/{CAMERA}/timestamps.txt"
    lines = [f"2013-05-28 08:46:{second}" for second in ("02.9", "03.000000001", "03.1", "03.3", "03.4", "04.5")]
    times.write_text("\n".join(lines) + "\n")
    source = open_dataset("kitti360", root)[0]
    assert stamps_ms(source) == pytest.approx([0, 99.999999, 299.999999, 1499.999999])
    assert next(iter(source)).frame.stamp_ns == 1369730763_000000001
    assert source.fps == pytest.approx(2)
    times.write_text("\n".join(lines[:5]))
    with pytest.raises(InputError, match=r"timestamps\.txt: has 5 lines, none for frame 5"):
        open_dataset("kitti360", root)
    times.write_text("\n".join([*lines[:3], "noon", *lines[4:]]))
    with pytest.raises(InputError, match=r"timestamps\.txt: line 4 is 'noon'"):
        open_dataset("kitti360", root)
    for damaged in (b"", b"NaT", b"2013-05-28", b"2013-05-28 08:46:0", b"\xff\xfe"):
        before, after = "\n".join(lines[:3]).encode(), "\n".join(lines[4:]).encode()
        times.write_bytes(b"\n".join([before, damaged, after]))
        with pytest.raises(InputError, match=r"timestamps\.txt: line 4 is"):
            open_dataset("kitti360", root)


def test_apolloscape_names_tell_the_time_and_ids_are_grouped(tmp_path: Path) -> None:
    source = open_dataset("apolloscape", apolloscape(tmp_path), APOLLO)[0]
    frames = list(source)
    assert frames[0].frame.stamp_ns == 1506494327_913000000
    assert stamps_ms(source) == [0, 500, 3000]
    assert left(frames[0].labels, 8) == [0, 9, 10, 10, 13, 13, 255, 255]
    assert frames[2].labels is None


def test_camvid_frame_numbers_count_at_30_hz(tmp_path: Path) -> None:
    hz1, still, hz15 = open_dataset("camvid11", camvid11(tmp_path))
    assert (hz1.fps, still.fps, hz15.fps) == (pytest.approx(1), None, pytest.approx(15))
    assert next(iter(still)).frame.stamp_ns == 1_000_000_000
    assert left(next(iter(hz15)).labels, 3) == [0, 10, 255]


def test_camvid_drives_are_cut_where_their_rate_changes_or_frames_are_left_out(tmp_path: Path) -> None:
    numbers = [7829, 7860, 7890, 7920, 7959, 7961, 7963, 8190, 8220, 10170, 10200, 12000]
    for number in numbers:
        write_image(tmp_path / f"train/0016E5_{number:05}.png", 0)
        write_ids(tmp_path / f"trainannot/0016E5_{number:05}.png", 0)
    sources = open_dataset("camvid11", tmp_path)
    assert [[int(item.name[-5:]) for item in source] for source in sources] == [
        [7829, 7860, 7890, 7920],
        [7959, 7961, 7963],
        [8190, 8220],
        [10170, 10200],
        [12000],
    ]
    assert sources[1].fps == pytest.approx(15)


def test_camvid32_colours_become_ids_and_void_is_ignored(tmp_path: Path) -> None:
    source = open_dataset("camvid32", camvid32(tmp_path))[0]
    labels = next(iter(source)).labels
    expected = list(range(32))
    expected[CAMVID32.id_of("Void")] = 255
    assert left(labels, 32) == expected


LABEL_FILES = {
    "cityscapes": "gtFine/val/frankfurt/frankfurt_000000_000119_gtFine_labelIds.png",
    "kitti360": f"data_2d_semantics/train/{CAMERA}/semantic/0000000002.png",
    "apolloscape": "road02_ins/Label/Record001/Camera 5/170927_063847913_Camera_5_bin.png",
    "camvid11": "trainannot/0001TP_006690.png",
    "camvid32": "LabeledApproved_full/0016E5_07959_L.png",
}


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [("cityscapes", 34), ("kitti360", 45), ("apolloscape", 2), ("camvid11", 12)],
)
def test_an_id_that_the_data_set_does_not_define_names_file_and_id(tmp_path: Path, kind: str, unknown: int) -> None:
    root = TREES[kind](tmp_path)
    write_ids(root / LABEL_FILES[kind], 7 if kind != "apolloscape" else 49, unknown)
    with pytest.raises(InputError, match=rf"{Path(LABEL_FILES[kind]).name}: id\(s\) \[{unknown}\]"):
        list(open_dataset(kind, root)[0])


def test_a_colour_outside_camvid32_names_file_and_colour(tmp_path: Path) -> None:
    root = camvid32(tmp_path)
    path = root / LABEL_FILES["camvid32"]
    image = cv2.imread(str(path))
    image[3, 3] = (255, 254, 253)
    cv2.imwrite(str(path), image)
    with pytest.raises(InputError, match=r"0016E5_07959_L\.png: RGB \[253, 254, 255\]"):
        list(open_dataset("camvid32", root)[0])


@pytest.mark.parametrize("kind", list(TREES))
def test_labels_of_another_size_or_damaged_are_named(tmp_path: Path, kind: str) -> None:
    root = TREES[kind](tmp_path)
    path = root / LABEL_FILES[kind]
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:-1])
    with pytest.raises(InputError, match=rf"{path.name}: size \(47, 64\), expected .* \(48, 64\)"):
        list(open_dataset(kind, root)[0])
    path.write_bytes(b"no image")
    source = open_dataset(kind, root)[0]
    frames = list(source)
    assert len(frames) == source.count
    assert source.losses == [f"a label file cannot be decoded: {path.name}"]


@pytest.mark.parametrize("kind", list(TREES))
def test_a_sequence_without_any_label_says_where_they_were_looked_for(tmp_path: Path, kind: str) -> None:
    root = TREES[kind](tmp_path)
    folder = (root / LABEL_FILES[kind]).parent
    for path in folder.iterdir():
        path.unlink()
    source = open_dataset(kind, root)[0]
    assert source.label_space is None
    assert str(folder) in source.assumptions[0]
    assert all(item.labels is None for item in source)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("cityscapes", "leftImg8bit_sequence"),
        ("cityscapes", "gtFine"),
        ("kitti360", "data_2d_raw"),
        ("kitti360", f"data_2d_raw/{CAMERA}/data_rect"),
        ("kitti360", "data_2d_semantics/train"),
        ("apolloscape", "road02_ins/ColorImage"),
        ("apolloscape", "road02_ins/Label"),
        ("camvid11", "valannot"),
        ("camvid32", "701_StillsRaw_full"),
        ("camvid32", "LabeledApproved_full"),
    ],
)
def test_a_missing_folder_of_the_layout_is_named(tmp_path: Path, kind: str, missing: str) -> None:
    root = TREES[kind](tmp_path)
    shutil.rmtree(root / missing)
    with pytest.raises(InputError, match=f"{kind}: no folder {root / missing}"):
        open_dataset(kind, root)


@pytest.mark.parametrize(
    ("kind", "looked_for"),
    [
        ("cityscapes", "gtFine"),
        ("kitti360", "data_2d_semantics/train"),
        ("apolloscape", r"road\*_ins or .*road\*_seg"),
        ("camvid11", "train, .*val, .*test"),
        ("camvid32", "701_StillsRaw_full"),
    ],
)
def test_a_wrong_root_names_what_was_looked_for(tmp_path: Path, kind: str, looked_for: str) -> None:
    with pytest.raises(InputError, match=f"no folder {tmp_path}/{looked_for}"):
        open_dataset(kind, tmp_path)
    with pytest.raises(InputError, match="nowhere: not a folder"):
        open_dataset(kind, tmp_path / "nowhere")


def test_images_that_are_named_otherwise_or_missing_are_named(tmp_path: Path) -> None:
    root = kitti360(tmp_path)
    images = root / f"data_2d_raw/{CAMERA}/data_rect"
    (images / "0000000001.png").rename(images / "first.png")
    with pytest.raises(InputError, match=r"first\.png is not named like 0000000250\.png"):
        open_dataset("kitti360", root)
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no .*data_rect/\*\.png"):
        open_dataset("kitti360", root)


def test_an_unknown_kind_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'vspw'; known: cityscapes, kitti360, apolloscape, camvid11, camvid32"):
        open_dataset("vspw", tmp_path)


@pytest.mark.parametrize("kind", list(TREES))
def test_the_hash_follows_images_and_labels_of_the_sequence_alone(tmp_path: Path, kind: str) -> None:
    root = TREES[kind](tmp_path / "one")
    first, second = (source.content_hash() for source in open_dataset(kind, root)[:2])
    assert first != second
    elsewhere = TREES[kind](tmp_path / "two")
    assert open_dataset(kind, elsewhere)[0].content_hash() == first
    path = elsewhere / LABEL_FILES[kind]
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[::-1, ::-1])
    changed = open_dataset(kind, elsewhere)
    assert changed[0].content_hash() != first
    assert changed[1].content_hash() == second


def test_frames_nobody_wants_are_not_decoded(tmp_path: Path) -> None:
    source = open_dataset("cityscapes", cityscapes(tmp_path))[0]
    for number in range(100, 130):
        if number not in (100, 119):
            (tmp_path / f"leftImg8bit_sequence/val/frankfurt/frankfurt_000000_{number:06}_leftImg8bit.png").unlink()
    frames = list(source.read(lambda index: index in (0, 19)))
    assert [(item.index, item.frame.stamp_ns, item.labels is None) for item in frames] == [
        (0, 0, True),
        (19, round(19e9 / 17), False),
    ]
    assert source.losses == []
    assert [item.index for item in source] == [0, 19]
    (loss,) = source.losses
    assert "28 times" in loss
    assert "000101_leftImg8bit" in loss


@pytest.mark.parametrize(
    ("kind", "judged_in"),
    [
        ("cityscapes", "cityscapes19"),
        ("kitti360", "cityscapes19"),
        ("apolloscape", "dgvss15"),
        ("camvid11", "camvid11"),
        ("camvid32", "dgvss15"),
    ],
)
def test_a_data_set_is_evaluated_in_the_classes_that_it_shares_with_the_model(
    tmp_path: Path, kind: str, judged_in: str, random_model: Path
) -> None:
    root, out = TREES[kind](tmp_path / "data"), tmp_path / "out"
    options = ["--out", out, "--model", random_model, "--runtime", "torch", "--no-overlay"]
    assert main(["evaluate", "--dataset", kind, *map(str, [root, *options])]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["settings"]["label_space"] == judged_in
    assert [each["name"] for each in metrics["inputs"]] == [n.replace("/", "_") for n in list_sequences(kind, root)]
    assert metrics["rows"][0]["reference_frames"] > 0
    assert metrics["rows"][0]["miou"] is not None
