from __future__ import annotations

from pathlib import Path

import av
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


def test_frames_are_chosen_by_their_position(tmp_path: Path) -> None:
    source = open_source(video=make_video(tmp_path / "v.mkv", STAMPS_MS))
    frames = list(source.read(lambda index: index % 2 == 1))
    assert [(item.index, item.frame.stamp_ns) for item in frames] == [(1, 33_000_000), (3, 500_000_000)]
    np.testing.assert_array_equal(frames[1].frame.rgb, picture(3))
    assert [item.index for item in source] == [0, 1, 2, 3, 4]
    assert source.losses == []


def test_a_frame_that_cannot_be_decoded_is_left_out_and_told(tmp_path: Path) -> None:
    video = tmp_path / "v.mkv"
    with av.open(str(video), "w") as container:  # FFV1 would show the frame before
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(video)) as container:
        sizes = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(video.read_bytes())
    at = data.index(b"\xff\xd8", sizes[4][0])
    data[at : at + sizes[4][1]] = bytes(sizes[4][1])
    video.write_bytes(data)
    source = open_source(video=video)
    good = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    for _ in range(2):
        frames = list(source)
        assert [item.frame.stamp_ns // 40_000_000 for item in frames] == good
        assert [item.index for item in frames] == good
        (loss,) = source.losses
        assert "a frame cannot be decoded" in loss


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
