from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import ids, make_folder, picture
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11
from t2g_ros.sources import open_source
from t2g_ros.sources.bag_writer import CameraBagWriter
from t2g_ros.sources.ros_bag import START_NS


def make_bag(path: Path, *, compression: str = "raw", frames: int = 4) -> Path:
    folder = make_folder(path.with_name(f"{path.name}_frames"), [str(i) for i in range(frames)], highest_id=10)
    source = open_source(frames=folder, fps=10)
    writer = CameraBagWriter(
        path, camera="/camera", frame_id="cam", compression=compression, label_space=source.label_space
    )
    assert writer.write(source) == frames
    return path


def messages(bag: Path, topic: str) -> list[tuple[int, object]]:
    with AnyReader([bag]) as reader:
        found = [c for c in reader.connections if c.topic == topic]
        return [(t, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages(found)]


def test_a_raw_bag_gives_back_frames_and_stamps(tmp_path: Path) -> None:
    source = open_source(bag=make_bag(tmp_path / "b"), image_topic="/camera/image_raw")
    frames = list(source)
    assert len(source) == len(frames) == 4
    for index, item in enumerate(frames):
        np.testing.assert_array_equal(item.frame.rgb, picture(index))
        assert item.frame.stamp_ns == START_NS + index * 100_000_000
        assert item.frame.frame_id == "cam"
        assert item.name == str(item.frame.stamp_ns)


def test_a_jpeg_bag_gives_nearly_the_same_pixels(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", compression="jpeg")
    frames = list(open_source(bag=bag, image_topic="/camera/image_raw/compressed"))
    assert len(frames) == 4
    error = np.abs(frames[2].frame.rgb[:, 40:].astype(int) - picture(2)[:, 40:])
    assert error.mean() < 3  # swapped channels would be far off


def test_every_message_of_a_frame_has_its_stamp(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b")
    images, infos, truths = (
        messages(bag, f"/camera/{topic}") for topic in ("image_raw", "camera_info", "ground_truth/mask")
    )
    for index, ((time_ns, image), (_, info), (_, truth)) in enumerate(zip(images, infos, truths, strict=True)):
        headers = {(m.header.stamp.sec, m.header.stamp.nanosec, m.header.frame_id) for m in (image, info, truth)}
        assert headers == {(1, index * 100_000_000, "cam")}
        assert time_ns == START_NS + index * 100_000_000
        assert (info.width, info.height) == (image.width, image.height)
        assert not info.k.any()  # says that the camera is uncalibrated
        assert truth.encoding == "mono8"
        np.testing.assert_array_equal(truth.data.reshape(48, 64), ids(index, 10))
    ((_, labels),) = messages(bag, "/camera/ground_truth/labels")
    assert json.loads(labels.data) == CAMVID11.to_json()


def test_a_missing_topic_lists_the_image_topics(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b")
    with pytest.raises(InputError, match=r"no topic '/front'.*/camera/ground_truth/mask, /camera/image_raw"):
        open_source(bag=bag, image_topic="/front")
    with pytest.raises(InputError, match=r"--image-topic.*/camera/image_raw"):
        open_source(bag=bag)
    with pytest.raises(InputError, match="holds sensor_msgs/msg/CameraInfo"):
        open_source(bag=bag, image_topic="/camera/camera_info")


def test_sqlite_bags_are_read(tmp_path: Path) -> None:
    bag = tmp_path / "b"
    store = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(bag, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/front", "sensor_msgs/msg/Image", typestore=store)
        header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](7, 5), "front")
        data = cv2.cvtColor(picture(1), cv2.COLOR_RGB2BGR).reshape(-1)
        image = store.types["sensor_msgs/msg/Image"](header, 48, 64, "bgr8", 0, 192, data)
        writer.write(connection, 9_000_000_000, store.serialize_cdr(image, "sensor_msgs/msg/Image"))
    (item,) = open_source(bag=bag)  # one image topic needs no name
    np.testing.assert_array_equal(item.frame.rgb, picture(1))
    assert item.frame.stamp_ns == 7_000_000_005


def test_a_truncated_bag_is_named(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b")
    mcap = bag / "b.mcap"
    mcap.write_bytes(mcap.read_bytes()[:-2000])
    with pytest.raises(InputError, match=f"bag {bag}: cannot be read"):
        list(open_source(bag=bag, image_topic="/camera/image_raw"))


def test_what_is_no_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        open_source(bag=tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(bag=tmp_path)
