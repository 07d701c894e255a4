"""Cameras that do what no camera should, over DDS: the node lives, says why, and goes on with the next good image."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from soak_figures import unaccounted

from t2g_ros.commands.demo import PROFILES

from .bench import FRAME_NS, ROOT, START_NS, Bench, NodeProcess, picture, pixels, stamp_ns

Start = Callable[..., NodeProcess]
HUGE = (60_000).to_bytes(4, "big")
GROWTH_MB = 1500
"""What an 8K image may take for a moment: itself, its conversions, its masks, its file."""


def peak_mb(node: NodeProcess) -> float:
    """The most memory that the process ever had."""
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def jpeg(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", rgb)[1].tobytes()


def png(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".png", rgb)[1].tobytes()


def png_bomb() -> bytes:
    """A few bytes that declare 60000 x 60000 pixels, 10.8 GB."""
    data = png(np.zeros((1, 1, 3), np.uint8))
    return data[:16] + HUGE + HUGE + data[24:]


def jpeg_bomb() -> bytes:
    """The same, as far as JPEG can tell it."""
    data = jpeg(np.zeros((16, 16, 3), np.uint8))
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + b"\xea\x60\xea\x60" + data[at + 4 :]


def test_files_that_declare_too_much_are_refused_undecoded_and_8k_is_segmented(
    bench: Bench, start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROFILES:  # its masks are larger than Fast DDS's default shared-memory segment
        monkeypatch.setenv(name, str(ROOT / "config" / "fastdds.xml"))
    camera = bench.node.create_publisher(CompressedImage, "image_raw/compressed", Bench.reliable(5))
    node = start_node(image_transport="compressed", stale_after_s=60.0, max_gap_s=3600.0)
    bench.until(camera.get_subscription_count, "the node to subscribe to image_raw/compressed")
    bench.until(lambda: bench.camera_values().get("output_subscribers") == "1", "the node to see the listener")

    def message(index: int, data: bytes) -> CompressedImage:
        return CompressedImage(header=bench.image(index).header, format="rgb8; jpeg compressed bgr8", data=data)

    bench.segment(message(0, jpeg(picture(0))), camera)
    before = peak_mb(node)
    for index, (data, kind) in enumerate(((png_bomb(), "PNG"), (jpeg_bomb(), "JPEG")), start=1):
        seen = len(bench.statuses)
        camera.publish(message(index, data))
        status = bench.wait_status(f"found a {kind} of 60000x60000 pixels, expected at most 67108864", seen)
        assert bench.values(status)["state"] == "rejected"
    assert peak_mb(node) < before + 100
    mask = bench.segment(message(3, png(np.full((4320, 7680, 3), 99, np.uint8))), camera)
    assert (mask.height, mask.width) == (4320, 7680)
    assert peak_mb(node) < before + GROWTH_MB
    assert bench.segment(message(4, jpeg(picture(4))), camera).width == 160
    assert bench.wait_value("state", "ok")["frames_rejected"] == "2"


def test_images_of_any_shape_and_content_are_segmented(bench: Bench, start_node: Start) -> None:
    start_node(max_gap_s=3600.0)
    bench.ready()
    contents = [
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 2000, 3), 255, np.uint8),
        np.full((2000, 1, 3), 127, np.uint8),
        np.zeros((96, 160, 3), np.uint8),
        np.full((96, 160, 3), 255, np.uint8),
        picture(7, (240, 320)),
    ]
    for index, rgb in enumerate(contents):
        mask = bench.segment(bench.image(index, rgb))
        assert pixels(mask).shape == rgb.shape[:2]
    assert bench.wait_value("frames_segmented", str(len(contents)))["frames_failed"] == "0"


def test_stamps_of_any_time_are_kept_and_repeated_ones_are_refused(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    last_ns = (2**31 - 1) * 10**9 + 999_999_999
    for index, stamp in enumerate((START_NS, 0, last_ns, START_NS, -(2**31) * 10**9, START_NS + 10 * FRAME_NS)):
        assert stamp_ns(bench.segment(bench.image(index, stamp=stamp))) == stamp
    seen = len(bench.statuses)
    bench.camera.publish(bench.image(9, stamp=START_NS + 10 * FRAME_NS))
    bench.wait_status("repeats the last one", seen)
    bench.segment(bench.image(10, stamp=START_NS + 11 * FRAME_NS))
    bench.wait_value("state", "ok")
    assert len(bench.masks) == 7


def test_a_camera_at_many_times_the_rate_costs_images_and_nothing_else(bench: Bench, start_node: Start) -> None:
    node = start_node(input_size="[512, 1024]")  # at the model's own some machines do hundreds a second
    bench.ready()
    bench.segment(bench.image(0, picture(0, (240, 320))))
    before = peak_mb(node)
    images = [bench.image(k, picture(k % 8, (240, 320))) for k in range(1, 400)]
    for msg in images:
        bench.camera.publish(msg)
        bench.spin(0.003)
    bench.until(lambda: unaccounted(bench.camera_values()) == 0, "all to be accounted for")
    bench.segment(bench.image(400, picture(0, (240, 320))))
    values = bench.wait_value("state", "ok")
    assert int(values["frames_failed"]) == int(values["frames_rejected"]) == 0
    assert int(values["frames_dropped"]) > 0
    stamps = [stamp_ns(mask) for mask in bench.masks]
    assert stamps == sorted(set(stamps))
    assert set(stamps) <= {stamp_ns(msg) for msg in images} | {START_NS, START_NS + 400 * FRAME_NS}
    assert peak_mb(node) < before + 200


def with_calibrations(bench: Bench, start_node: Start) -> tuple[NodeProcess, list[CameraInfo], Publisher]:
    """A node that takes calibrations, those that it sends, and their publisher."""
    infos: list[CameraInfo] = bench.listen("camera_info", CameraInfo)
    publisher = bench.node.create_publisher(CameraInfo, "camera_info", 10)
    node = start_node()
    bench.ready()
    bench.until(publisher.get_subscription_count, "the node to take calibrations")
    return node, infos, publisher


def test_a_calibration_that_is_no_number_is_told_and_not_passed_on(bench: Bench, start_node: Start) -> None:
    node, infos, publisher = with_calibrations(bench, start_node)
    good = CameraInfo(width=160, height=96, k=[100.0, 0.0, 80.0, 0.0, 100.0, 48.0, 0.0, 0.0, 1.0])
    bad = CameraInfo(width=160, height=96, k=[math.nan, *good.k[1:]])
    for index in range(3):
        publisher.publish(bad)
        bench.segment(bench.image(index))
    status = bench.wait_status("bad_calibration")
    assert status.level == b"\1"
    assert "/camera_info: found k = [nan, " in status.message
    assert "expected finite numbers" in status.message
    assert not infos
    assert node.output.count("expected finite numbers") == 1
    publisher.publish(good)
    bench.wait_value("state", "ok")
    bench.segment(bench.image(3))
    bench.until(lambda: infos, "the calibration")
    assert (stamp_ns(infos[0]), list(infos[0].k)) == (START_NS + 3 * FRAME_NS, list(good.k))


def test_a_calibration_of_another_size_is_told_and_not_passed_on(bench: Bench, start_node: Start) -> None:
    _, infos, publisher = with_calibrations(bench, start_node)
    publisher.publish(CameraInfo(width=320, height=192))
    bench.segment(bench.image(0))
    status = bench.wait_status("bad_calibration")
    assert "/camera_info: found a calibration of 320x192, expected the images' 160x96" in status.message
    assert not infos
    publisher.publish(CameraInfo(width=320, height=192, binning_x=2, binning_y=2))
    bench.wait_value("state", "ok")
    bench.segment(bench.image(1))
    bench.until(lambda: infos, "the calibration")


def test_a_calibration_does_not_outlive_its_camera(bench: Bench, start_node: Start) -> None:
    _, infos, publisher = with_calibrations(bench, start_node)
    publisher.publish(CameraInfo(width=160, height=96))
    bench.segment(bench.image(0))
    bench.until(lambda: infos, "the calibration")
    # Another driver without one: of the first image's masks on, none goes out under the new camera's stamps.
    bench.node.destroy_publisher(bench.camera)
    bench.wait_value("publishers", "0")
    bench.camera = bench.node.create_publisher(Image, "image_raw", bench.reliable(10))
    bench.ready()
    bench.segment(bench.image(1))
    # As little after the node was deactivated, with one that is of no use.
    publisher.publish(CameraInfo(width=160, height=96, d=[math.nan]))
    bench.wait_value("state", "bad_calibration")
    for transition in (4, 3):
        assert bench.transition(transition)
    bench.ready()
    bench.segment(bench.image(2))
    bench.wait_value("state", "ok")
    assert len(infos) == 1
