from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import make_folder, picture
from rosbags.highlevel import AnyReader

from t2g_ros.drawing import overlay
from t2g_ros.errors import InputError
from t2g_ros.evaluation.outputs.mask_bag import MaskBagWriter
from t2g_ros.labels import CITYSCAPES19, IGNORE
from t2g_ros.sources import open_source
from t2g_ros.sources.bags.camera_writer import CameraBagWriter
from t2g_ros.types import Frame, Segmentation

IMAGES = ("mask", "confidence", "stability", "color", "overlay")
REAL_NS = 1_700_000_000_123_456_789
SIZE = (48, 64)


def segmentation(index: int, stamp_ns: int, size: tuple[int, int] = SIZE) -> Segmentation:
    """Blocks of classes that move, with some unlabeled, as a segmenter would say."""
    model_labels = np.roll(np.repeat(np.arange(16, dtype=np.uint8), 2)[None].repeat(24, 0), index, axis=1)
    labels = cv2.resize(model_labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    labels[:3] = IGNORE
    confidence = np.full(size, 100 + index, np.uint8)
    return Segmentation(Frame(picture(index), stamp_ns, "front_optical"), labels, confidence, model_labels, 1, 0.0)


def stability_map(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (24, 32), dtype=np.uint8)


def messages(bag: Path) -> dict[str, list[tuple[int, object]]]:
    """Topic -> (recorded time, message)."""
    found: dict[str, list[tuple[int, object]]] = {}
    with AnyReader([bag]) as reader:
        for connection, time_ns, data in reader.messages():
            found.setdefault(connection.topic, []).append((time_ns, reader.deserialize(data, connection.msgtype)))
    return found


def stamp_ns(message: object) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec  # type: ignore[attr-defined]


def test_the_bag_holds_what_the_node_would_publish_under_the_frames_own_stamps(tmp_path: Path) -> None:
    stamps = [REAL_NS + i * 66_666_667 for i in range(3)]
    with MaskBagWriter(tmp_path / "new" / "masks", space=CITYSCAPES19) as bag:
        for i, stamp in enumerate(stamps):
            bag.add(segmentation(i, stamp), stability_map(i))
    found = messages(tmp_path / "new" / "masks")
    assert set(found) == {f"/camera/segmentation/{topic}" for topic in (*IMAGES, "labels")}
    for i, stamp in enumerate(stamps):
        given = segmentation(i, stamp)
        expected = {
            "mask": given.labels,
            "confidence": given.confidence,
            "stability": cv2.resize(stability_map(i), SIZE[::-1], interpolation=cv2.INTER_NEAREST_EXACT),
            "color": CITYSCAPES19.colorize(given.labels),
            "overlay": overlay(picture(i), given.labels, CITYSCAPES19),
        }
        for topic, pixels in expected.items():
            time_ns, message = found[f"/camera/segmentation/{topic}"][i]
            assert (time_ns, stamp_ns(message), message.header.frame_id) == (stamp, stamp, "front_optical")  # type: ignore[attr-defined]
            assert message.encoding == ("mono8" if pixels.ndim == 2 else "rgb8")  # type: ignore[attr-defined]
            assert (message.height, message.width) == SIZE  # type: ignore[attr-defined]
            np.testing.assert_array_equal(message.data.reshape(pixels.shape), pixels)  # type: ignore[attr-defined]
    ((time_ns, labels),) = found["/camera/segmentation/labels"]
    assert time_ns == stamps[0]
    assert json.loads(labels.data) == CITYSCAPES19.to_json()  # type: ignore[attr-defined]


def test_late_subscribers_of_a_played_bag_get_the_labels(tmp_path: Path) -> None:
    with MaskBagWriter(tmp_path / "b", space=CITYSCAPES19) as bag:
        bag.add(segmentation(0, REAL_NS))
    with AnyReader([tmp_path / "b"]) as reader:
        (labels,) = [c for c in reader.connections if c.topic == "/camera/segmentation/labels"]
    (profile,) = labels.ext.offered_qos_profiles  # type: ignore[union-attr]
    assert (profile.durability.name, profile.reliability.name) == ("TRANSIENT_LOCAL", "RELIABLE")


def test_the_file_is_compressed(tmp_path: Path) -> None:
    with MaskBagWriter(tmp_path / "b", space=CITYSCAPES19) as bag:
        for i in range(20):
            bag.add(segmentation(i, REAL_NS + i))
    pixels = 20 * SIZE[0] * SIZE[1]
    assert (tmp_path / "b" / "b.mcap").stat().st_size < pixels * (1 + 1 + 3 + 3) / 4


def test_masks_of_the_models_size_and_no_stability_map_are_fine(tmp_path: Path) -> None:
    with MaskBagWriter(tmp_path / "b", "/front/left/", space=CITYSCAPES19) as bag:
        bag.add(segmentation(0, REAL_NS, size=(24, 32)))
    found = messages(tmp_path / "b")
    assert set(found) == {f"/front/left/segmentation/{t}" for t in ("mask", "confidence", "color", "overlay", "labels")}
    ((_, mask),) = found["/front/left/segmentation/mask"]
    ((_, drawn),) = found["/front/left/segmentation/overlay"]
    assert (mask.height, mask.width) == (24, 32)  # type: ignore[attr-defined]
    assert (drawn.height, drawn.width) == SIZE  # type: ignore[attr-defined]


@pytest.mark.parametrize("first_ns", [0, 1, 500_000_000, REAL_NS])
def test_the_bags_of_one_recording_line_up_and_only_stamps_from_0_are_shifted(tmp_path: Path, first_ns: int) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"])
    frames = list(open_source(frames=folder, fps=10))
    taken = [f.frame.stamp_ns + first_ns for f in frames]
    moved = [type(item)(Frame(item.frame.rgb, stamp), item.name) for item, stamp in zip(frames, taken, strict=True)]
    CameraBagWriter(tmp_path / "images", camera="/camera", frame_id="", compression="raw", label_space=None).write(
        moved
    )
    with MaskBagWriter(tmp_path / "masks", space=CITYSCAPES19) as bag:
        for i, stamp in enumerate(taken):
            bag.add(segmentation(i, stamp))
    images = messages(tmp_path / "images")["/camera/image_raw"]
    masks = messages(tmp_path / "masks")["/camera/segmentation/mask"]
    expected = [stamp + 1_000_000_000 for stamp in taken] if first_ns == 0 else taken
    assert [stamp_ns(m) for _, m in images] == [stamp_ns(m) for _, m in masks] == expected
    assert [time_ns for time_ns, _ in images] == [time_ns for time_ns, _ in masks] == expected


def test_masks_of_a_bag_keep_the_bags_stamps(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"])
    source = open_source(frames=folder, fps=10)
    CameraBagWriter(tmp_path / "images", camera="/camera", frame_id="cam", compression="raw", label_space=None).write(
        source
    )
    with MaskBagWriter(tmp_path / "masks", space=CITYSCAPES19) as bag:
        for i, item in enumerate(open_source(bag=tmp_path / "images")):
            bag.add(segmentation(i, item.frame.stamp_ns))
    images = messages(tmp_path / "images")["/camera/image_raw"]
    masks = messages(tmp_path / "masks")["/camera/segmentation/mask"]
    assert [stamp_ns(m) for _, m in masks] == [stamp_ns(m) for _, m in images]


def test_a_bag_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="b: exists already"):
        MaskBagWriter(tmp_path / "b", space=CITYSCAPES19)
