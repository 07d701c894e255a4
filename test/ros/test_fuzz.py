"""Garbage in every field of every message: refused by name or segmented under its own stamp, and never anything else.

The mass of the cases goes through the conversion, some through the node's own callbacks and threads, a few over DDS.
"""

from __future__ import annotations

import array
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from soak_figures import unaccounted
from std_msgs.msg import Header

from t2g_ros.errors import InputError
from t2g_ros.image_messages import COMMON_ENCODINGS
from t2g_ros.ros.camera_info import fits, problem_with, scaled
from t2g_ros.ros.images import header_of, to_frame
from t2g_ros.ros.node import SegmentNode

from .bench import Bench, NodeProcess, picture, stamp_ns

RAW_CASES, COMPRESSED_CASES, INFO_CASES, NODE_CASES, DDS_CASES = 15_000, 1_500, 3_000, 600, 300
TOPIC = "/cam/image"
U32 = 2**32 - 1
FILES = [cv2.imencode(suffix, picture(0, (24, 32)))[1].tobytes() for suffix in (".jpg", ".png")]


def cases(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=checks)


class Garbage:
    """Messages in which one field or another contradicts the rest, drawn from a seed: faster than drawn one by one."""

    ENCODINGS = (
        *COMMON_ENCODINGS, "mono16", "rgb16", "bgra16", "bayer_rggb8", "bayer_gbrg16", "yuv422", "yuv422_yuy2", "nv12",
        "8UC1", "8UC3", "16SC2", "32FC1", "64FC4", "", "rgb", "8UC", "8UC9999999999", "mono",
    )  # fmt: skip
    FORMATS = ("jpeg", "png", "rgb8; jpeg compressed bgr8", "16UC1; png compressed", "")

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def pick(self, *of: Any) -> Any:
        return self.dice.choice(of)

    def text(self) -> str:
        dice = self.dice
        return "".join(chr(dice.randrange(1, self.pick(128, 0xD800))) for _ in range(dice.randrange(12)))

    def number(self) -> float:
        if self.dice.random() < 0.97:
            return self.pick(self.dice.uniform(-1e4, 1e4), 0.0, 1.0)
        return self.pick(math.nan, math.inf, -math.inf, 1e308)

    def side(self) -> int:
        return self.dice.randrange(41) if self.dice.random() < 0.9 else self.pick(U32, 2**31, 65_536, 8193)

    def header(self) -> Header:
        dice = self.dice
        sec = dice.randrange(-(2**31), 2**31) if dice.random() < 0.5 else self.pick(0, 1, -(2**31), -1, 2**31 - 1)
        nanosec = dice.randrange(10**9) if dice.random() < 0.9 else self.pick(10**9, U32)
        return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=self.text())

    def image(self) -> Image:
        dice = self.dice
        height, width = self.side(), self.side()
        encoding = self.pick(*self.ENCODINGS) if dice.random() < 0.9 else self.text()
        row = width * COMMON_ENCODINGS.get(encoding, (dice.randrange(1, 9), None))[0]
        step = min(U32, self.pick(row, row, row + 3, dice.randrange(200), U32))
        size = step * height if dice.random() < 0.7 else dice.randrange(300)
        return Image(
            header=self.header(),
            height=height,
            width=width,
            step=step,
            encoding=encoding,
            is_bigendian=dice.randrange(256),
            data=array.array("B", dice.randbytes(min(size, 20_000))),
        )

    def compressed(self) -> CompressedImage:
        """A file with bytes changed, cut out and added, mostly in its header: sizes, tables and lengths are there."""
        dice = self.dice
        data = bytearray(self.pick(*FILES))
        for _ in range(self.pick(0, 1, 1, 3, 20)):
            data[dice.randrange(min(self.pick(40, 200, 10_000), len(data)))] = self.pick(0, 255, dice.randrange(256))
        how = dice.randrange(6)
        if how == 0:
            del data[dice.randrange(len(data)) :]
        elif how == 1:
            at = dice.randrange(len(data))
            data[at:at] = dice.randbytes(dice.randrange(1, 50))
        elif how == 2:
            data = bytearray(dice.randbytes(dice.randrange(60)))
        text = self.pick(*self.FORMATS) if dice.random() < 0.9 else self.text()
        return CompressedImage(header=self.header(), format=text, data=array.array("B", data))

    def info(self) -> CameraInfo:
        def numbers(count: int) -> list[float]:
            return [self.number() for _ in range(count)]

        roi = RegionOfInterest(x_offset=self.side(), y_offset=self.side(), height=self.side(), width=self.side())
        binning = {"binning_x": self.pick(0, 1, 2, U32), "binning_y": self.pick(0, 1, 2, U32)}
        matrices = {"k": numbers(9), "r": numbers(9), "p": numbers(12), "d": numbers(self.dice.randrange(7))}
        size = {"height": self.side(), "width": self.side()}
        return CameraInfo(header=self.header(), distortion_model=self.text(), roi=roi, **size, **binning, **matrices)


garbage = st.builds(Garbage, st.integers(0, 2**32))


def check(msg: Image | CompressedImage) -> None:
    problem = ""
    try:
        frame = to_frame(msg, TOPIC)
    except InputError as error:
        problem = str(error)
    if problem:
        assert TOPIC in problem
        assert "expected" in problem
        return
    assert header_of(frame) == msg.header
    assert frame.rgb.shape == (*frame.size, 3)
    assert frame.rgb.dtype == np.uint8
    if isinstance(msg, Image):
        assert frame.size == (msg.height, msg.width)
        assert len(msg.data) == msg.step * msg.height


@cases(RAW_CASES)
@given(garbage)
def test_any_image_is_itself_or_refused(made: Garbage) -> None:
    check(made.image())


@cases(COMPRESSED_CASES)
@given(garbage)
def test_any_file_is_an_image_or_refused(made: Garbage) -> None:
    check(made.compressed())


@cases(INFO_CASES)
@given(garbage)
def test_any_calibration_is_refused_or_can_be_sent(made: Garbage) -> None:
    info, dice = made.info(), made.dice
    own = info.height // max(info.binning_y, 1), info.width // max(info.binning_x, 1)
    height, width = own if 0 not in own and dice.random() < 0.8 else (dice.randrange(1, 41), dice.randrange(1, 41))
    problem = problem_with(info)
    if problem:
        assert "expected finite numbers" in problem
        return
    if fits(info, (height, width)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers so large that their scaled ones are infinite
            out = scaled(info, (height, width), (512, 1024), Header())
        serialize_message(out)


def test_the_node_gives_every_message_its_own_mask_or_a_reason(bench: Bench, own_node: SegmentNode) -> None:
    node, masks = own_node, bench.masks
    node.trigger_configure()
    node.trigger_activate()
    bench.until(lambda: node.count_subscribers("segmentation/mask"), "the node to know its listener")
    callbacks = {each.topic_name: each.callback for each in node.subscriptions}
    sent = 0

    def finish() -> None:
        for worker in (node._worker, node._output_worker):
            worker.submit(lambda: None).result(timeout=60)

    @cases(NODE_CASES)
    @given(garbage)
    def run(made: Garbage) -> None:
        nonlocal sent
        if made.dice.random() < 0.1:
            callbacks["/camera_info"](made.info())
        msg = made.image() if made.dice.random() < 0.7 else whole(made.dice.randrange(5), made.header())
        before = len(masks)
        callbacks["/image_raw"](msg, {"publication_sequence_number": sent})
        sent += 1
        finish()
        values = diagnosed(node)
        assert values["frames_received"] == str(sent)
        assert unaccounted(values) == 0
        bench.until(lambda: len(masks) == int(values["frames_segmented"]), "every mask")
        for mask in masks[before:]:
            assert mask.header == msg.header
            assert (mask.height, mask.width) == (msg.height, msg.width)

    run()
    assert len(masks) > NODE_CASES // 10
    assert int(diagnosed(node)["frames_rejected"]) > NODE_CASES // 10


def whole(index: int, header: Header) -> Image:
    rgb = picture(index, (20, 30))
    return Image(header=header, height=20, width=30, step=90, encoding="rgb8", data=rgb.tobytes())


def diagnosed(node: SegmentNode) -> dict[str, str]:
    """What the node would publish of its camera."""
    (camera,) = node._cameras
    status = node._diagnostics._camera_status(camera, camera.verdict())
    return Bench.values(status)


@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_garbage_on_the_wire_is_survived(bench: Bench, start_node: Callable[..., NodeProcess], kind: type) -> None:
    camera, (height, width) = bench.camera, (12, 16)
    good: Any = bench.image(0, picture(0, (height, width)))
    if kind is CompressedImage:
        camera = bench.node.create_publisher(CompressedImage, "image_raw/compressed", Bench.reliable(10))
        _, jpeg = cv2.imencode(".jpg", picture(0, (height, width)))
        good = CompressedImage(header=good.header, format="jpeg", data=jpeg.tobytes())
    infos = bench.node.create_publisher(CameraInfo, "camera_info", Bench.reliable(10))
    scaled_infos = bench.listen("camera_info", CameraInfo)
    start_node(image_transport="raw" if kind is Image else "compressed")
    bench.until(lambda: camera.get_subscription_count() and infos.get_subscription_count(), "the node to subscribe")
    bench.until(lambda: bench.camera_values().get("output_subscribers") == "2", "the node to know its listeners")
    bench.segment(good, camera)
    dice = random.Random(0)
    stamps = {stamp_ns(good)}
    for k in range(DDS_CASES):
        info = CameraInfo(header=good.header, height=height, width=width, p=[8.0] * 12, k=[8.0] * 9)
        infos.publish(spoiled(serialize_message(info), dice))
        garbage = spoiled(serialize_message(good), dice)
        stamps.add(
            int.from_bytes(garbage[4:8], "little", signed=True) * 10**9 + int.from_bytes(garbage[8:12], "little")
        )
        camera.publish(garbage)
        bench.spin(0.02 if k % 10 == 0 else 0.002)
    good.header.stamp.sec += 1000
    stamps.add(stamp_ns(bench.segment(good, camera)))
    bench.until(lambda: unaccounted(bench.camera_values()) == 0, "all frames to be accounted for")
    assert {stamp_ns(mask) for mask in bench.masks} <= stamps
    assert {stamp_ns(info) for info in scaled_infos} <= stamps


def spoiled(message: bytes, dice: random.Random) -> bytes:
    """A serialized message with some bytes changed, of its first fields more often, and at times cut off."""
    garbage = bytearray(message)
    for _ in range(dice.randrange(1, 5)):
        garbage[dice.choice([dice.randrange(60), dice.randrange(len(garbage))])] = dice.randrange(256)
    if dice.random() < 0.2:
        del garbage[dice.randrange(len(garbage)) :]
    return bytes(garbage)
