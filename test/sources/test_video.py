from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import make_video, picture

from t2g_ros.errors import InputError
from t2g_ros.sources import open_source

STAMPS_MS = [0, 33, 66, 500, 540]


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    frames = list(open_source(video=make_video(tmp_path / "v.mkv", STAMPS_MS)))
    assert [f.frame.stamp_ns for f in frames] == [ms * 1_000_000 for ms in STAMPS_MS]
    assert [f.name for f in frames] == [str(ms * 1_000_000) for ms in STAMPS_MS]
    for index, item in enumerate(frames):
        np.testing.assert_array_equal(item.frame.rgb, picture(index))


def test_fps_replaces_the_stamps_but_not_the_names(tmp_path: Path) -> None:
    frames = list(open_source(video=make_video(tmp_path / "v.mkv", STAMPS_MS), fps=4))
    assert [f.frame.stamp_ns for f in frames] == [i * 250_000_000 for i in range(5)]
    assert frames[3].name == "500000000"


def test_iterating_twice_starts_again(tmp_path: Path) -> None:
    source = open_source(video=make_video(tmp_path / "v.mkv", STAMPS_MS))
    assert [f.name for f in source] == [f.name for f in source]


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"v\.mp4: no such file"):
        open_source(video=tmp_path / "v.mp4")
    (tmp_path / "v.mp4").write_text("hello")
    with pytest.raises(InputError, match=r"v\.mp4: not a video"):
        open_source(video=tmp_path / "v.mp4")


def test_the_hash_is_the_files(tmp_path: Path) -> None:
    one = open_source(video=make_video(tmp_path / "a.mkv", STAMPS_MS)).content_hash()
    other = open_source(video=make_video(tmp_path / "b.mkv", STAMPS_MS[:-1])).content_hash()
    assert one != other
    assert one == open_source(video=tmp_path / "a.mkv").content_hash()


def test_a_camera_video_is_read_in_full() -> None:
    video = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "video" / "solidWhiteRight.mp4"
    if not video.is_file():
        pytest.skip(f"no {video}")
    source = open_source(video=video)
    stamps = [item.frame.stamp_ns for item in source]
    assert len(source) == len(stamps) == 221
    assert source.fps == pytest.approx(25)
    assert set(np.diff(stamps)) == {40_000_000}
