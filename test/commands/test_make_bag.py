from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from recordings import ids, make_folder, make_video, picture

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


@pytest.mark.parametrize("compression", ["raw", "jpeg"])
def test_another_library_reads_the_bag(tmp_path: Path, compression: str) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"], highest_id=5)
    assert make_bag(folder, tmp_path / "b", "--fps", "10", "--compression", compression) == 0
    image = "image_raw" if compression == "raw" else "image_raw/compressed"
    times: dict[str, list[int]] = {}
    types: dict[str, str] = {}
    with (tmp_path / "b" / "b.mcap").open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None
            assert channel.message_encoding == "cdr"
            types[channel.topic] = schema.name
            times.setdefault(channel.topic, []).append(message.log_time)
            if channel.topic == "/camera/image_raw":
                assert message.data.endswith(picture(len(times[channel.topic]) - 1).tobytes())
            if channel.topic == f"/camera/{image}" and compression == "jpeg":
                jpeg = np.frombuffer(message.data[message.data.index(b"\xff\xd8\xff") :], np.uint8)
                assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape == (48, 64, 3)
    same = times[f"/camera/{image}"]
    assert [t - same[0] for t in same] == [0, 100_000_000, 200_000_000]
    assert times["/camera/camera_info"] == times["/camera/ground_truth/mask"] == same
    assert types == {
        f"/camera/{image}": f"sensor_msgs/msg/{'Image' if compression == 'raw' else 'CompressedImage'}",
        "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
        "/camera/ground_truth/mask": "sensor_msgs/msg/Image",
        "/camera/ground_truth/labels": "std_msgs/msg/String",
    }


def test_the_storage_is_chosen(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1"], highest_id=10)
    assert make_bag(folder, tmp_path / "b", "--fps", "10", "--storage", "sqlite3") == 0
    assert (tmp_path / "b" / "b.db3").is_file()
    for index, item in enumerate(open_source(bag=tmp_path / "b")):
        np.testing.assert_array_equal(item.frame.rgb, picture(index))
        np.testing.assert_array_equal(item.labels, ids(index, 10))


def test_a_data_set_sequence_keeps_its_stamps_and_label_space(tmp_path: Path) -> None:
    camera = tmp_path / "k/data_2d_raw/2013_05_28_drive_0000_sync/image_00"
    truth = tmp_path / "k/data_2d_semantics/train/2013_05_28_drive_0000_sync/image_00/semantic"
    (camera / "data_rect").mkdir(parents=True)
    truth.mkdir(parents=True)
    for index in range(3):
        bgr = cv2.cvtColor(picture(index), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(camera / "data_rect" / f"{index:010}.png"), bgr)
        if index < 2:
            cv2.imwrite(str(truth / f"{index:010}.png"), np.full((48, 64), 7, np.uint8))  # KITTI-360's id of road
    arguments = ["--dataset", "kitti360", str(tmp_path / "k"), "--out", str(tmp_path / "b")]
    assert main(["make-bag", *arguments]) == 0
    source = open_source(bag=tmp_path / "b")
    frames = list(source)
    assert [item.frame.stamp_ns - frames[0].frame.stamp_ns for item in frames] == [0, 100_000_000, 200_000_000]
    assert [item.labels is None for item in frames] == [False, False, True]
    assert source.label_space is not None
    assert source.label_space.name == "cityscapes19"
    assert set(np.unique(frames[1].labels)) == {source.label_space.id_of("road")}


def test_what_is_lost_of_a_video_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = make_video(tmp_path / "v.mkv", [40 * i for i in range(30)])
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    assert main(["make-bag", "--video", str(video), "--out", str(tmp_path / "b")]) == 0
    assert 10 <= len(open_source(bag=tmp_path / "b")) < 30


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


def test_a_damaged_frame_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"])
    (folder / "images" / "1.png").write_bytes(b"no image")
    assert make_bag(folder, tmp_path / "b", "--fps", "10") == 0
    assert "an image cannot be decoded: 1.png" in capsys.readouterr().err
    stamps = [item.frame.stamp_ns for item in open_source(bag=tmp_path / "b")]
    assert stamps == [1_000_000_000, 1_200_000_000]


def test_labels_that_do_not_fit_leave_no_half_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1"], highest_id=3)
    cv2.imwrite(str(folder / "labels" / "1.png"), np.zeros((4, 4), np.uint8))
    assert make_bag(folder, tmp_path / "b", "--fps", "10") == 2
    assert "1.png: size (4, 4)" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_camera_that_is_no_ros_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        make_bag(tmp_path, tmp_path / "b", "--camera", "front camera")
    assert stop.value.code == 2
