"""Who is on the other side of the image topic: a restarted driver, two at a time, one whose QoS does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from t2g_ros.ros.qos import fitting

from .bench import START_NS, Bench, NodeProcess, stamp_ns

Start = Callable[..., NodeProcess]
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def start_driver(domain_id: int) -> Iterator[Callable[[str], subprocess.Popen]]:
    """Start camera drivers by name."""
    drivers: list[subprocess.Popen] = []

    def start(name: str) -> subprocess.Popen:
        command = [sys.executable, str(Path(__file__).with_name("driver.py")), name]
        drivers.append(subprocess.Popen(command, env=os.environ | {"ROS_DOMAIN_ID": str(domain_id)}))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.kill()
        driver.wait()


def test_a_driver_that_is_killed_and_started_again_goes_on_with_one_empty_memory(
    bench: Bench, start_node: Start, start_driver: Callable[[str], subprocess.Popen]
) -> None:
    bench.node.destroy_publisher(bench.camera)
    start_node()
    driver = start_driver("first")
    bench.until(lambda: len(bench.masks) > 5, "masks of the first driver")
    driver.kill()
    driver.wait()
    seen = len(bench.masks)
    start_driver("second")
    bench.until(lambda: len(bench.masks) > seen + 10 and bench.masks[-1].header.frame_id == "second", "the second's")
    values = bench.wait_value("resets_camera_restart", "1")
    assert "resets_two_publishers" not in values  # although DDS still counts the dead one, until its lease ends
    assert values["state"] == "ok"
    assert [stamp_ns(m) for m in bench.masks] == sorted({stamp_ns(m) for m in bench.masks})


def test_two_publishers_at_a_time_are_named_and_never_share_a_memory(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    other = bench.node.create_publisher(Image, "image_raw", bench.reliable(10))
    bench.until(other.get_subscription_count, "the second publisher's connection")
    bench.wait_value("publishers", "2")
    # The second one's stamps lie between the first one's, so that neither time nor size tells them apart.
    for i in range(6):
        seen = len(bench.statuses)
        bench.segment(bench.image(i))
        bench.segment(bench.image(i, stamp=START_NS + i * 100_000_000 + 50_000_000), other)
    status = bench.wait_status("two_publishers", seen)
    assert status.level == b"\1"
    assert "images of 2 publishers come mixed on /image_raw, from /bench, /bench" in status.message
    values = bench.wait_value("frames_segmented", "12")
    assert values["clip_frames"] == "1"
    assert int(values["resets_two_publishers"]) >= 10
    bench.node.destroy_publisher(other)
    bench.wait_value("publishers", "1")
    for i in range(7, 10):
        bench.segment(bench.image(i))
    values = bench.wait_value("frames_segmented", "15")
    assert values["state"] == "ok"
    assert int(values["clip_frames"]) > 1


def test_a_publisher_whose_qos_does_not_fit_is_named_with_both_profiles_until_it_goes(
    bench: Bench, start_node: Start
) -> None:
    bench.node.destroy_publisher(bench.camera)
    misfit = bench.node.create_publisher(Image, "image_raw", BEST_EFFORT)
    node = start_node("-p", "qos_overrides./image_raw.subscription.reliability:=reliable")
    status = bench.wait_status("/bench offers")
    assert status.level == b"\2"
    assert bench.values(status)["state"] == "incompatible_qos"
    assert "/bench offers reliability best_effort, durability volatile" in status.message
    assert "this subscription asks for reliability reliable, durability volatile" in status.message
    assert "qos_overrides./image_raw.subscription.reliability" in status.message
    assert "/bench offers reliability best_effort" in node.output
    # What counts on Humble, whose subscriptions do not know their publishers.
    other = bench.node.create_publisher(Image, "image_raw", bench.reliable(10))
    bench.until(lambda: bench.node.count_publishers("image_raw") == 2, "both publishers")
    assert fitting(bench.node, "/image_raw", bench.reliable(1)) == 1
    assert fitting(bench.node, "/image_raw", BEST_EFFORT) == 2
    bench.node.destroy_publisher(other)
    bench.node.destroy_publisher(misfit)
    bench.wait_value("state", "waiting")
    bench.camera = bench.node.create_publisher(Image, "image_raw", bench.reliable(10))
    bench.ready()
    bench.segment(bench.image(0))
    bench.wait_value("state", "ok")
