"""Garbage in every field of every message: refused by name or segmented under its own stamp, and never anything else.

The mass of the cases goes through the conversion, some through the node's own callbacks and threads, a few over DDS.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from t2g_ros.errors import InputError
from t2g_ros.image_messages import COMMON_ENCODINGS
from t2g_ros.ros.camera_info import fits, problem_with, scaled
from t2g_ros.ros.images import header_of, to_frame
from t2g_ros.ros.node import SegmentNode

from .bench import START_NS, Bench, NodeProcess, picture, stamp_ns
from .test_accounting import unaccounted

RAW_CASES, COMPRESSED_CASES, INFO_CASES, NODE_CASES, DDS_CASES = 11_000, 6_000, 2_500, 600, 300
TOPIC = "/cam/image"
U32 = 2**32 - 1
FILES = [cv2.imencode(suffix, picture(0, (24, 32)))[1].tobytes() for suffix in (".jpg", ".png")]


def cases(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=checks)


sides = st.one_of(st.integers(0, 40), st.sampled_from([U32, 2**31, 65_536, 8193]))
stamps = st.builds(
    Time,
    sec=st.one_of(st.integers(0, 3), st.sampled_from([-(2**31), -1, 2**31 - 1]), st.integers(-(2**31), 2**31 - 1)),
    nanosec=st.one_of(st.integers(0, 999_999_999), st.sampled_from([10**9, U32])),
)
headers = st.builds(Header, stamp=stamps, frame_id=st.text(max_size=8))
encodings = st.one_of(
    st.sampled_from([*COMMON_ENCODINGS, "mono16", "rgb16", "bgra16", "bayer_rggb8", "bayer_gbrg16", "yuv422", "nv12"]),
    st.sampled_from(
        ["8UC1", "8UC3", "16SC2", "32FC1", "64FC4", "", "rgb", "8UC", "8UC9999999999", "mono", "yuv422_yuy2"]
    ),
    st.text(max_size=12),
)


@st.composite
def images(draw: st.DrawFn) -> Image:
    """One field or another contradicts the rest; half of them are whole."""
    height, width, encoding = draw(sides), draw(sides), draw(encodings)
    row = width * COMMON_ENCODINGS.get(encoding, (draw(st.integers(1, 8)), None))[0]
    step = draw(st.one_of(st.just(row), st.just(row + 3), st.integers(0, 200), st.just(U32)))
    size = step * height if draw(st.booleans()) else draw(st.integers(0, 300))
    data = random.Random(draw(st.integers(0, 99))).randbytes(min(size, 20_000))
    msg = Image(header=draw(headers), height=height, width=width, step=min(step, U32), encoding=encoding, data=data)
    msg.is_bigendian = draw(st.integers(0, 255))
    return msg


@st.composite
def compressed_images(draw: st.DrawFn) -> CompressedImage:
    """Files with bytes changed, cut out and added."""
    data = bytearray(draw(st.sampled_from(FILES)))
    dice = random.Random(draw(st.integers(0, 10**9)))
    for _ in range(dice.choice([0, 1, 1, 3, 20])):
        # Mostly the header, where sizes, tables and lengths are.
        data[dice.randrange(dice.choice([40, 200, len(data)])) % len(data)] = dice.choice([0, 255, dice.randrange(256)])
    how = dice.randrange(6)
    if how == 0:
        del data[dice.randrange(len(data)) :]
    elif how == 1:
        at = dice.randrange(len(data))
        data[at:at] = dice.randbytes(dice.randrange(1, 50))
    elif how == 2:
        data = bytearray(dice.randbytes(dice.randrange(60)))
    formats = st.sampled_from(["jpeg", "png", "rgb8; jpeg compressed bgr8", "16UC1; png compressed", ""])
    return CompressedImage(header=draw(headers), format=draw(formats | st.text(max_size=12)), data=bytes(data))


numbers = st.one_of(st.floats(-1e4, 1e4), st.floats(allow_nan=True, allow_infinity=True))
lengths = st.one_of(st.integers(0, 40), st.sampled_from([U32, 2**31]))
infos = st.builds(
    CameraInfo,
    header=headers,
    height=lengths,
    width=lengths,
    distortion_model=st.text(max_size=8),
    d=st.lists(numbers, max_size=6),
    k=st.lists(numbers, min_size=9, max_size=9),
    r=st.lists(numbers, min_size=9, max_size=9),
    p=st.lists(numbers, min_size=12, max_size=12),
    binning_x=lengths,
    binning_y=lengths,
    roi=st.builds(RegionOfInterest, x_offset=lengths, y_offset=lengths, height=lengths, width=lengths),
)


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
@given(images())
def test_any_image_is_itself_or_refused(msg: Image) -> None:
    check(msg)


@cases(COMPRESSED_CASES)
@given(compressed_images())
def test_any_file_is_an_image_or_refused(msg: CompressedImage) -> None:
    check(msg)


@cases(INFO_CASES)
@given(infos, st.integers(1, 40), st.integers(1, 40))
def test_any_calibration_is_refused_or_can_be_sent(info: CameraInfo, height: int, width: int) -> None:
    problem = problem_with(info)
    if problem:
        assert "expected finite numbers" in problem
        return
    if fits(info, (height, width)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers so large that their scaled ones are infinite
            out = scaled(info, (height, width), (512, 1024), Header())
        serialize_message(out)


@pytest.fixture
def node(
    domain_id: int, random_model: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SegmentNode]:
    """A node in this process, with somebody who takes its masks."""
    monkeypatch.setenv("T2G_CACHE_DIR", str(model_cache))
    package = logging.getLogger("t2g_ros")
    before = package.handlers, package.level, package.propagate
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    values = {"model": str(random_model), "threads": 1, "autostart": False}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = SegmentNode(context=context, parameter_overrides=overrides)
    yield node
    assert node.stop(30)
    node.destroy_node()
    rclpy.shutdown(context=context)
    package.handlers, package.level, package.propagate = before


def test_the_node_gives_every_message_its_own_mask_or_a_reason(node: SegmentNode) -> None:
    node.trigger_configure()
    node.trigger_activate()
    listener = rclpy.create_node("listener", context=node.context)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(listener)
    masks: list[Image] = []
    listener.create_subscription(Image, "segmentation/mask", masks.append, Bench.reliable(100))
    while not node.count_subscribers("segmentation/mask"):
        executor.spin_once(timeout_sec=0.02)
    callbacks = {each.topic_name: each.callback for each in node.subscriptions}
    sent = 0

    def finish() -> None:
        for worker in (node._worker, node._output_worker):
            worker.submit(lambda: None).result(timeout=60)

    @cases(NODE_CASES)
    @given(images() | st.builds(whole, st.integers(0, 5), headers), infos, st.integers(0, 9))
    def run(msg: Image, info: CameraInfo, dice: int) -> None:
        nonlocal sent
        if dice == 0:
            callbacks["/camera_info"](info)
        before = len(masks)
        callbacks["/image_raw"](msg)
        sent += 1
        finish()
        values = diagnosed(node)
        assert values["frames_received"] == str(sent)
        assert unaccounted(values) == 0
        while len(masks) < int(values["frames_segmented"]):
            executor.spin_once(timeout_sec=1)
        for mask in masks[before:]:
            assert mask.header == msg.header
            assert (mask.height, mask.width) == (msg.height, msg.width)

    run()
    assert len(masks) > NODE_CASES // 10
    assert int(diagnosed(node)["frames_rejected"]) > NODE_CASES // 10
    executor.shutdown()
    listener.destroy_node()


def whole(index: int, header: Header) -> Image:
    rgb = picture(index, (20, 30))
    return Image(header=header, height=20, width=30, step=90, encoding="rgb8", data=rgb.tobytes())


def diagnosed(node: SegmentNode) -> dict[str, str]:
    """What the node would publish of its camera."""
    camera = node._camera
    assert camera is not None
    status = node._diagnostics._camera_status(camera, camera.verdict())
    return Bench.values(status)


def test_garbage_on_the_wire_is_survived(bench: Bench, start_node: Callable[..., NodeProcess]) -> None:
    start_node()
    bench.ready()
    bench.segment(bench.image(0))
    dice = random.Random(0)
    good = serialize_message(bench.image(0, picture(0, (12, 16))))
    stamps = set()
    for k in range(DDS_CASES):
        garbage = bytearray(good)
        for _ in range(dice.randrange(1, 5)):
            garbage[dice.choice([dice.randrange(60), dice.randrange(len(good))])] = dice.randrange(256)
        if dice.random() < 0.2:
            del garbage[dice.randrange(len(garbage)) :]
        stamps.add(
            int.from_bytes(garbage[4:8], "little", signed=True) * 10**9 + int.from_bytes(garbage[8:12], "little")
        )
        bench.camera.publish(bytes(garbage))
        bench.spin(0.02 if k % 10 == 0 else 0.002)
    after = bench.segment(bench.image(1))
    assert stamp_ns(after) > START_NS
    bench.until(lambda: unaccounted(bench.camera_values()) == 0, "all frames to be accounted for")
    assert {stamp_ns(mask) for mask in bench.masks} <= stamps | {stamp_ns(bench.image(i)) for i in (0, 1)}
