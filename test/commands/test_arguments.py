from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import ids, make_bag, make_folder, make_video, picture

from t2g_ros.commands.arguments import (
    DATASET_KINDS,
    add_source_arguments,
    source_from,
    source_to_argv,
    sources_from,
)
from t2g_ros.errors import InputError
from t2g_ros.sources import Source
from t2g_ros.sources.datasets import DATASETS


def parse(*argv: object, several: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_source_arguments(parser, several=several)
    return parser.parse_args([str(arg) for arg in argv])


def opened(*argv: object) -> list[Source]:
    return sources_from(parse(*argv, several=True))


def names(sources: list[Source]) -> list[str]:
    return [source.path.name for source in sources]


def camvid11(root: Path) -> Path:
    """A data set of two sequences, whose second is one still."""
    for split, frames in (("train", (0, 30, 60)), ("val", (90,))):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for number in frames:
            stem = f"0001TP_{number:06}.png"
            cv2.imwrite(str(root / split / stem), cv2.cvtColor(picture(number // 30), cv2.COLOR_RGB2BGR))
            labels = ids(number // 30, 10)
            labels[labels == 255] = 11  # the release's void
            cv2.imwrite(str(root / f"{split}annot" / stem), labels)
    return root


def test_the_kinds_in_the_help_are_those_that_can_be_read() -> None:
    assert tuple(DATASETS) == DATASET_KINDS


def test_one_sequence_of_a_data_set_is_chosen(tmp_path: Path) -> None:
    root = camvid11(tmp_path)
    with pytest.raises(InputError, match=r"--sequence.*train/0001TP_000000, val/0001TP_000090"):
        source_from(parse("--dataset", "camvid11", root))
    source = source_from(parse("--dataset", "camvid11", root, "--sequence", "val/0001TP_000090"))
    (frame,) = source
    np.testing.assert_array_equal(frame.labels, ids(3, 10))
    with pytest.raises(InputError, match="no sequence 'x'; it has train/0001TP_000000"):
        source_from(parse("--dataset", "camvid11", root, "--sequence", "x"))
    shutil.rmtree(root / "train")
    assert source_from(parse("--dataset", "camvid11", root)).count == 1  # the only one needs no name


def test_all_sequences_of_a_data_set_are_evaluated(tmp_path: Path) -> None:
    root = camvid11(tmp_path)
    assert [source.count for source in opened("--dataset", "camvid11", root)] == [3, 1]
    assert [source.count for source in opened("--dataset", "camvid11", root, "--sequence", "val/0001TP_000090")] == [1]


@pytest.mark.parametrize("option", [("--fps", 5), ("--label-space", "camvid11"), ("--truth-topic", "/t")])
def test_what_a_data_set_says_itself_is_refused(tmp_path: Path, option: tuple[str, object]) -> None:
    with pytest.raises(InputError, match=f"{option[0]}: does not go with --dataset"):
        opened("--dataset", "camvid11", camvid11(tmp_path), *option)


def test_a_sequence_of_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--sequence s: was given, but no --dataset"):
        source_from(parse("--frames", tmp_path, "--sequence", "s"))


def test_another_process_opens_the_same_source(tmp_path: Path) -> None:
    root = camvid11(tmp_path / "c")
    args = parse("--dataset", "camvid11", root, "--sequence", "train/0001TP_000000")
    again = source_from(parse(*source_to_argv(args)))
    assert again.content_hash() == source_from(args).content_hash()
    bag = make_bag(tmp_path / "b")
    args = parse("--bag", bag, "--image-topic", "/camera/image_raw", "--label-space", "camvid11", "--fps", 4)
    assert [item.frame.stamp_ns for item in source_from(parse(*source_to_argv(args)))][1] == 250_000_000


def test_a_pattern_of_bags_gives_each_recording_once_in_natural_order(tmp_path: Path) -> None:
    for name in ("run_10", "run_2", "run_1"):
        make_bag(tmp_path / "runs" / name, frames=2)
    shutil.copy(tmp_path / "runs/run_2/run_2.mcap", tmp_path / "runs" / "run_3.mcap")
    shutil.copytree(tmp_path / "runs/run_1", tmp_path / "runs" / "run_20")
    (tmp_path / "runs/run_20/metadata.yaml").unlink()
    (tmp_path / "runs/run_notes.txt").write_text("rainy")
    pattern = tmp_path / "runs" / "run_*"
    found = opened("--bag", pattern, "--image-topic", "/camera/image_raw")
    assert names(found) == ["run_1", "run_2", "run_3.mcap", "run_10", "run_20"]
    deep = opened("--bag", tmp_path / "runs" / "**", "--image-topic", "/camera/image_raw")
    assert sorted(names(deep)) == ["run_1", "run_1.mcap", "run_10", "run_2", "run_3.mcap"]  # run_20's file by its name
    files = opened("--bag", tmp_path / "runs/*/*.mcap", "--image-topic", "/camera/image_raw")
    assert names(files) == ["run_1.mcap", "run_2.mcap", "run_10.mcap", "run_1.mcap"]
    both = opened("--bag", pattern, tmp_path / "runs/*/*.mcap", tmp_path / "runs/run_2", "--fps", 10)
    assert names(both)[:4] == ["run_1", "run_2", "run_3.mcap", "run_10"]
    assert len(both) == 5


def test_several_values_keep_their_order(tmp_path: Path) -> None:
    folders = [make_folder(tmp_path / name, ["0", "1"], nested=nested) for name, nested in (("b", True), ("a", False))]
    assert names(opened("--frames", *folders, folders[0], "--fps", 5)) == ["b", "a"]
    assert names(opened("--frames", tmp_path / "*", "--fps", 5)) == ["a", "b"]
    assert names(opened("--frames", tmp_path / "[ab]", tmp_path / "b" / "*", "--fps", 5)) == ["a", "b"]
    for index in (1, 2, 11):
        make_video(tmp_path / f"v{index}.mkv", [0, 40])
    videos = opened("--video", tmp_path / "v*")
    assert names(videos) == ["v1.mkv", "v2.mkv", "v11.mkv"]


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "frames", ["0"])
    with pytest.raises(InputError, match=r"\*\.mcap: matches no rosbag2 folder, \.mcap"):
        opened("--bag", tmp_path / "*.mcap")
    with pytest.raises(InputError, match="matches no rosbag2 folder"):
        opened("--bag", tmp_path / "f*")
    with pytest.raises(InputError, match="matches no file"):
        opened("--video", tmp_path / "f*")
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        opened("--bag", tmp_path / "nowhere")
