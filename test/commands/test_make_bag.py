from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import make_folder, picture

from t2g_ros.cli import main
from t2g_ros.sources import open_source


def make_bag(folder: Path, out: Path, *args: str) -> int:
    return main(["make-bag", "--frames", str(folder), "--out", str(out), *args])


def test_a_folder_becomes_a_bag_that_plays_back_the_same(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"], highest_id=5)
    assert make_bag(folder, tmp_path / "new" / "b", "--fps", "10", "--camera", "/front/left", "--frame-id", "fl") == 0
    frames = list(open_source(bag=tmp_path / "new" / "b", image_topic="/front/left/image_raw"))
    assert [f.frame.stamp_ns - frames[0].frame.stamp_ns for f in frames] == [0, 100_000_000, 200_000_000]
    for index, item in enumerate(frames):
        np.testing.assert_array_equal(item.frame.rgb, picture(index))
        assert item.frame.frame_id == "fl"
    assert len(open_source(bag=tmp_path / "new" / "b", image_topic="/front/left/ground_truth/mask")) == 3


def test_a_folder_without_labels_gives_no_ground_truth(tmp_path: Path) -> None:
    assert make_bag(make_folder(tmp_path / "d", ["0"]), tmp_path / "b", "--fps", "10") == 0
    assert len(open_source(bag=tmp_path / "b")) == 1  # the only image topic needs no name


def test_jpeg_is_stored_compressed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["0"])
    assert make_bag(folder, tmp_path / "b", "--fps", "10", "--compression", "jpeg") == 0
    assert len(open_source(bag=tmp_path / "b", image_topic="/camera/image_raw/compressed")) == 1


def test_an_existing_bag_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "d", ["0"])
    assert make_bag(folder, tmp_path / "b", "--fps", "10") == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    assert make_bag(folder, tmp_path / "b", "--fps", "10") == 2
    assert "exists already" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()} == before


def test_a_damaged_frame_leaves_no_half_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1"])
    (folder / "images" / "1.png").write_bytes(b"no image")
    assert make_bag(folder, tmp_path / "b", "--fps", "10") == 2
    assert "1.png: cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_camera_that_is_no_ros_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        make_bag(tmp_path, tmp_path / "b", "--camera", "front camera")
    assert stop.value.code == 2
