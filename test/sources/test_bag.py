from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.stream_reader import CRCValidationError
from recordings import ids, make_bag, picture
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11, CITYSCAPES19
from t2g_ros.sources import open_source
from t2g_ros.sources.bags.writer import START_NS, RosBagWriter


def messages(bag: Path, topic: str) -> list[tuple[int, object]]:
    with AnyReader([bag]) as reader:
        found = [c for c in reader.connections if c.topic == topic]
        return [(t, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages(found)]


def write_events(path: Path, events: list[tuple[int, str, int]], *, highest_id: int = 10) -> Path:
    """Write (recorded second + 100, topic under /camera, number of the picture or mask, which is its stamp too)."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    image_type = "sensor_msgs/msg/Image"
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {topic for _, topic, _ in events}
        connections = {t: writer.add_connection(f"/camera/{t}", image_type, typestore=store) for t in topics}
        for second, topic, number in events:
            header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](number, 0), "cam")
            colors = "image" in topic
            pixels = picture(number) if colors else ids(number, highest_id)
            step = pixels.size // 48
            image = store.types[image_type](
                header, 48, 64, "rgb8" if colors else "mono8", 0, step, np.ascontiguousarray(pixels).reshape(-1)
            )
            data = store.serialize_cdr(image, image_type)
            writer.write(connections[topic], (second + 100) * 1_000_000_000, data)
    return path


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


def test_frames_have_the_ground_truth_of_their_stamp(tmp_path: Path) -> None:
    source = open_source(bag=make_bag(tmp_path / "b", frames=12))  # the only camera needs no name
    assert source.label_space is not None
    assert source.label_space.names == CAMVID11.names
    assert source.assumptions == ()
    frames = list(source)
    assert len(frames) == 12
    for index, item in enumerate(frames):
        np.testing.assert_array_equal(item.labels, ids(index, 10))
    assert source.losses == []


@pytest.mark.parametrize("shift", [-5, 5])
def test_ground_truth_is_found_before_and_after_its_image(tmp_path: Path, shift: int) -> None:
    """A bag whose masks are recorded `shift` frames away from their images, those of odd frames not at all."""
    events = [(index, "image_raw", index) for index in range(20)]
    events += [(index + shift, "ground_truth/mask", index) for index in range(0, 20, 2)]
    source = open_source(bag=write_events(tmp_path / "b", sorted(events)), label_space="camvid11")
    frames = list(source)
    assert [item.index for item in frames] == list(range(20))
    for index, item in enumerate(frames):
        np.testing.assert_array_equal(item.frame.rgb, picture(index))
        if index % 2:
            assert item.labels is None
        else:
            np.testing.assert_array_equal(item.labels, ids(index, 10))
    assert source.losses == []
    few = list(source.read(lambda index: index in (3, 4, 19)))
    assert [(item.index, item.labels is None) for item in few] == [(3, True), (4, False), (19, True)]
    assert source.losses == []


def test_a_mask_without_an_image_is_told(tmp_path: Path) -> None:
    events = [(index, "image_raw", index) for index in range(3)] + [(9, "ground_truth/mask", 8)]
    source = open_source(bag=write_events(tmp_path / "b", events), label_space="camvid11")
    assert [item.labels for item in source] == [None] * 3
    assert source.losses == ["/camera/ground_truth/mask: a mask has no image of its stamp: 8000000000 ns"]


def test_the_label_space_is_the_bags_own_else_the_one_given_else_told(tmp_path: Path) -> None:
    says = make_bag(tmp_path / "says")
    assert open_source(bag=says, label_space="camvid11").label_space is not None
    with pytest.raises(InputError, match=r"ids mean camvid11, but label space 'cityscapes19' was given"):
        open_source(bag=says, label_space="cityscapes19")
    silent = write_events(tmp_path / "silent", [(0, "image_raw", 1), (0, "ground_truth/mask", 1)])
    given = open_source(bag=silent, label_space="cityscapes19")
    assert given.label_space is CITYSCAPES19
    assert next(iter(given)).labels is not None
    left_out = open_source(bag=silent)
    assert left_out.label_space is None
    assert next(iter(left_out)).labels is None
    assert "no /camera/ground_truth/labels; --label-space" in left_out.assumptions[0]
    with pytest.raises(InputError, match="unknown label space 'mars'"):
        open_source(bag=silent, label_space="mars")
    bare = write_events(tmp_path / "bare", [(0, "image_raw", 1)])
    with pytest.raises(InputError, match=r"no ground truth on /camera/ground_truth/mask; --truth-topic"):
        open_source(bag=bare, label_space="camvid11")


def test_ground_truth_of_another_name_is_asked_for(tmp_path: Path) -> None:
    bag = write_events(tmp_path / "b", [(0, "image_raw", 2), (0, "annotation/ids", 2)])
    source = open_source(
        bag=bag, image_topic="/camera/image_raw", truth_topic="/camera/annotation/ids", label_space="camvid11"
    )
    np.testing.assert_array_equal(next(iter(source)).labels, ids(2, 10))
    with pytest.raises(InputError, match=r"no topic '/truth'.*/camera/annotation/ids, /camera/image_raw"):
        open_source(bag=bag, image_topic="/camera/image_raw", truth_topic="/truth")
    with pytest.raises(InputError, match="topic '/truth' was given, but no bag"):
        open_source(frames=tmp_path, truth_topic="/truth")


def test_masks_of_another_space_are_refused(tmp_path: Path) -> None:
    bag = write_events(tmp_path / "b", [(0, "image_raw", 1), (0, "ground_truth/mask", 1)], highest_id=18)
    with pytest.raises(InputError, match=r"no mask of .*id 18 is not in camvid11.*--label-space"):
        list(open_source(bag=bag, label_space="camvid11"))


def test_frames_nobody_wants_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(bag=make_bag(tmp_path / "b", frames=9, compression="jpeg"))
    decoded = []
    real = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *args: decoded.append(1) or real(*args))
    frames = list(source.read(lambda index: index % 4 == 0))
    assert [item.index for item in frames] == [0, 4, 8]
    assert [item.frame.stamp_ns for item in frames] == [START_NS + i * 100_000_000 for i in (0, 4, 8)]
    assert len(decoded) == 3
    np.testing.assert_array_equal(frames[1].labels, ids(4, 10))


def test_a_missing_topic_lists_the_image_topics(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b")
    with pytest.raises(InputError, match=r"no topic '/front'.*/camera/ground_truth/mask, /camera/image_raw"):
        open_source(bag=bag, image_topic="/front")
    with pytest.raises(InputError, match="holds sensor_msgs/msg/CameraInfo"):
        open_source(bag=bag, image_topic="/camera/camera_info")
    two = write_events(tmp_path / "two", [(0, "image_raw", 0), (0, "right/image_raw", 0)])
    with pytest.raises(InputError, match=r"--image-topic.*/camera/image_raw, /camera/right/image_raw"):
        open_source(bag=two)


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


def test_ros1_bags_are_read_with_ground_truth(tmp_path: Path) -> None:
    bag = tmp_path / "b.bag"
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    with Ros1Writer(bag) as writer:
        for topic in ("/camera/ground_truth/mask", "/camera/image_raw"):
            connection = writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=store)
            for second in (1, 2):
                header = types["std_msgs/msg/Header"](
                    seq=7, stamp=types["builtin_interfaces/msg/Time"](second, 5), frame_id="c"
                )
                pixels = ids(second, 10) if "mask" in topic else picture(second)
                encoding = "mono8" if "mask" in topic else "rgb8"
                image = types["sensor_msgs/msg/Image"](
                    header, 48, 64, encoding, 0, pixels.size // 48, np.ascontiguousarray(pixels).reshape(-1)
                )
                data = store.serialize_ros1(image, "sensor_msgs/msg/Image")
                writer.write(connection, second * 1_000_000_000, data)
    frames = list(open_source(bag=bag, label_space="camvid11"))
    assert [item.frame.stamp_ns for item in frames] == [1_000_000_005, 2_000_000_005]
    np.testing.assert_array_equal(frames[1].frame.rgb, picture(2))
    np.testing.assert_array_equal(frames[1].labels, ids(2, 10))


def test_what_is_no_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        open_source(bag=tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(bag=tmp_path)


def test_a_repeated_stamp_gives_no_image_the_truth_of_another(tmp_path: Path) -> None:
    """All stamps are 0 seconds, as of a driver that sets none; the second image has no mask."""
    events = [(0, "image_raw", 0), (1, "ground_truth/mask", 0), (2, "image_raw", 0), (3, "image_raw", 0)]
    bag = write_events(tmp_path / "b", [*events, (4, "ground_truth/mask", 0)])
    frames = list(open_source(bag=bag, label_space="camvid11"))
    assert [item.labels is not None for item in frames] == [True, False, True]


def test_a_looped_recording_keeps_no_mask_for_the_next_round(tmp_path: Path) -> None:
    """Round one misses image 0, round two misses its mask."""
    one = [(0, "ground_truth/mask", 0)]
    for number in range(1, 12):
        one += [(2 * number, "image_raw", number), (2 * number + 1, "ground_truth/mask", number)]
    bag = write_events(tmp_path / "b", [*one, (40, "image_raw", 0), (41, "image_raw", 1), (42, "ground_truth/mask", 1)])
    source = open_source(bag=bag, label_space="camvid11")
    assert [item.labels is not None for item in source] == [True] * 11 + [False, True]
    assert source.losses == ["/camera/ground_truth/mask: a mask has no image of its stamp: 0 ns"]


def test_a_mask_that_repeats_a_waiting_ones_stamp_is_told(tmp_path: Path) -> None:
    events = [(0, "ground_truth/mask", 3), (1, "ground_truth/mask", 3), (2, "image_raw", 3)]
    source = open_source(bag=write_events(tmp_path / "b", events), label_space="camvid11")
    assert [item.labels is not None for item in source] == [True]
    assert source.losses == ["/camera/ground_truth/mask: a mask has no image of its stamp: 3000000000 ns"]


def test_of_too_many_masks_that_wait_the_oldest_goes(tmp_path: Path) -> None:
    """Stamps begin anew in between, so that the oldest mask has the highest stamp."""
    events = [(0, "ground_truth/mask", 90), *((1 + n, "ground_truth/mask", n) for n in range(8)), (20, "image_raw", 0)]
    source = open_source(bag=write_events(tmp_path / "b", events), label_space="camvid11")
    assert [item.labels is not None for item in source] == [True]


def test_a_rosbag2_folder_may_be_named_as_a_ros1_bag(tmp_path: Path) -> None:
    source = open_source(bag=make_bag(tmp_path / "drive.bag"))
    assert len(list(source)) == 4
    assert source.losses == []


def test_a_bag_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with RosBagWriter(tmp_path / "b", "/camera") as bag:
        bag.put("note", "std_msgs/msg/String", START_NS, data="hello")
    with pytest.raises(InputError, match="holds no image topic; its topics: /camera/note"):
        open_source(bag=tmp_path / "b")


def test_a_bag_of_some_bad_masks_is_read_with_the_rest(tmp_path: Path) -> None:
    """Mask 0 has an id beyond the space, mask 1 has not."""
    bag = tmp_path / "b"
    with RosBagWriter(bag, "/camera") as writer:
        writer.put_labels("ground_truth/labels", START_NS, CAMVID11)
        for second, highest in ((1, 12), (2, 10)):
            writer.put_image("image_raw", second * START_NS, "cam", picture(second))
            writer.put_image("ground_truth/mask", second * START_NS, "cam", ids(second, highest))
    source = open_source(bag=bag)
    assert [item.labels is not None for item in source.read(lambda index: index == 0)] == [False]
    assert "a mask cannot be used" in source.losses[0]
    assert [item.labels is not None for item in source] == [False, True]


@pytest.mark.parametrize("stamp_ns", [-1, 2**31 * 1_000_000_000])
def test_a_stamp_that_ros_cannot_hold_is_refused(tmp_path: Path, stamp_ns: int) -> None:
    with RosBagWriter(tmp_path / "b", "/camera") as bag, pytest.raises(InputError, match="--fps stamps"):
        bag.put_image("image_raw", stamp_ns, "cam", picture(0))


def test_a_flipped_bit_in_a_bag_of_ours_is_found(tmp_path: Path) -> None:
    (file,) = make_bag(tmp_path / "b").glob("*.mcap")

    def read() -> int:
        with file.open("rb") as stream:
            return sum(1 for _ in make_reader(stream, validate_crcs=True).iter_messages())

    assert read() > 4
    data = bytearray(file.read_bytes())
    data[data.index(picture(0).tobytes()[:600]) + 300] ^= 1
    file.write_bytes(data)
    with pytest.raises(CRCValidationError):
        read()
