"""A disk that fills up ends a recording with a reason, and what was recorded before can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

import resource

import rclpy
from sensor_msgs.msg import Image

from t2g_ros.demo.recorder import Recorder, RecordingError
from t2g_ros.ros.images import header_of, to_image
from t2g_ros.sources.bags.reader import BagReader
from t2g_ros.sources.base import Losses
from t2g_ros.types import NS_PER_S, Frame

LIMIT_BYTES = 2_500_000
MASKS = 30


def noise(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 256, (512, 512), dtype=np.uint8)


def record(bag: Path) -> None:
    """Record noise, while the system refuses to make files larger than the limit, as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with Recorder(bag, "/camera", "segmentation") as recorder:
            masks = rclpy.create_node("masks").create_publisher(Image, "/camera/segmentation/mask", 10)
            while not masks.get_subscription_count():
                rclpy.spin_once(recorder, timeout_sec=0.02)
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
            for k in range(MASKS):
                masks.publish(to_image(noise(k), header_of(Frame(noise(k), k * NS_PER_S))))
                while len(recorder.arrivals_ns) <= k:
                    rclpy.spin_once(recorder, timeout_sec=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_recorded_before_the_disk_was_full_can_be_read(domain_id: int, tmp_path: Path) -> None:
    rclpy.init(domain_id=domain_id)
    try:
        with pytest.raises(RecordingError) as raised:
            record(tmp_path / "bag")
    finally:
        rclpy.try_shutdown()
    for text in (str(tmp_path / "bag"), "cannot be written any more", "File too large", "is kept there"):
        assert text in str(raised.value)
    reader = BagReader(tmp_path / "bag")
    found = list(reader.messages({"/camera/segmentation/mask"}, Losses()))
    assert 4 <= len(found) < MASKS
    for k, message in enumerate(found):
        image = reader.deserialize(message)
        assert image.header.stamp.sec == k
        np.testing.assert_array_equal(image.data.reshape(512, 512), noise(k))
