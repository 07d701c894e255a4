"""Several cameras in one node over DDS: nothing that happens to one of them changes a mask of another."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rcl_interfaces.msg import SetParametersResult
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import load_runtime
from t2g_ros.types import Frame

from .bench import FRAME_NS, START_NS, WAIT_S, Bench, NodeProcess, picture, pixels, stamp_ns

Start = Callable[..., NodeProcess]
CONFIGURE, CLEANUP, ACTIVATE = 1, 2, 3


class Cameras:
    """The other side of a node with several cameras: a publisher and a list of masks for each."""

    def __init__(self, bench: Bench, *names: str) -> None:
        self.bench = bench
        self.names = names
        self.images: dict[str, Publisher] = {}
        self.masks: dict[str, list[Image]] = {}
        for name in names:
            self.images[name] = bench.node.create_publisher(Image, f"{name}/image_raw", bench.reliable(10))
            self.masks[name] = bench.listen(f"/{name}/segmentation/mask")

    def values(self, name: str) -> dict[str, str]:
        """The newest key-value pairs of a camera in /diagnostics."""
        about = f"segment_node: /{name}/image_raw"
        return next((self.bench.values(s) for s in reversed(self.bench.statuses) if s.name == about), {})

    def wait(self, name: str, **expected: str) -> dict[str, str]:
        """Wait until a camera has told these values, and return all of them."""

        def told() -> bool:
            return expected.items() <= self.values(name).items()

        self.bench.until(told, f"{expected} of {name}")
        return self.values(name)

    def ready(self) -> None:
        for name in self.names:
            self.bench.until(self.images[name].get_subscription_count, f"the node to subscribe to {name}")
            self.bench.until(lambda name=name: self.values(name).get("publishers") == "1", f"the camera {name}")
            self.wait(name, output_subscribers="1")

    def segment(self, name: str, index: int, seed: int = 0) -> Image:
        """Publish an image of a camera and return its mask."""
        self.bench.masks = self.masks[name]
        return self.bench.segment(self.bench.image(index, picture(1000 * seed + index)), self.images[name])

    def call(self, kind: type, name: str, **request: Any) -> Any:
        return self.bench.call(kind, f"segment_node/{name}", kind.Request(**request))


@pytest.fixture
def three(bench: Bench, start_node: Start) -> Cameras:
    cameras = Cameras(bench, "front", "left", "right")
    start_node(cameras="[front, left, right]")
    cameras.ready()
    return cameras


def offline(model: Path, seed: int, indices: range) -> list[np.ndarray]:
    """The masks of a camera that is alone."""
    segmenter = StreamSegmenter(load_runtime(model, threads=1))
    found = [segmenter.step(Frame(picture(1000 * seed + i), START_NS + i * FRAME_NS)) for i in indices]
    return [segmentation.labels for segmentation in found if segmentation is not None]


def spoiled(bench: Bench, index: int) -> Image:
    """A wrong image, or a right one that empties the memory."""
    kind = ("plain", "size", "step", "stamp", "encoding")[index % 5]
    image = bench.image(index, picture(index, (48, 64) if kind == "size" else (96, 160)))
    if kind == "step":
        image.step = 7
    if kind == "stamp":
        image.header.stamp.sec -= 100
    if kind == "encoding":
        image.encoding = "bgr8"
    return image


def test_what_one_camera_does_leaves_the_others_masks_as_they_are_alone(
    three: Cameras, random_model: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2G_CACHE_DIR", str(model_cache))
    found: dict[str, list[Image]] = {"front": [], "right": []}
    for index in range(10):
        three.images["left"].publish(spoiled(three.bench, index))
        if index == 4:
            assert three.call(Trigger, "left/reset_memory").success
        found["front"].append(three.segment("front", index, seed=1))
        if index % 2 == 0:  # at half the rate
            found["right"].append(three.segment("right", index, seed=2))
    for name, seed, indices in (("front", 1, range(10)), ("right", 2, range(0, 10, 2))):
        expected = offline(random_model, seed, indices)
        np.testing.assert_array_equal([pixels(mask) for mask in found[name]], expected)
        assert len(np.unique(expected)) > 2
        values = three.wait(name, frames_segmented=str(len(expected)))
        assert (values["state"], values["resets"], values["frames_rejected"]) == ("ok", "0", "0")
        assert (values["encoding"], values["image_size"]) == ("rgb8", "160x96")
    causes = {f"resets_{cause}" for cause in ("size_change", "stamp_backward", "encoding_change", "reset_memory")}
    three.bench.until(lambda: causes <= set(three.values("left")), "the left camera's resets")
    assert int(three.values("left")["frames_rejected"]) > 0
    # Every camera has the memory of one, and the model's status tells their sum.
    model = next(s for s in reversed(three.bench.statuses) if s.name == "segment_node: model")
    memory = {three.values(name)["memory_bytes"] for name in three.names}
    assert len(memory) == 1
    assert int(three.bench.values(model)["memory_bytes"]) == 3 * int(memory.pop())


def test_services_act_on_one_camera_or_on_all(three: Cameras) -> None:
    for index in range(2):
        for name in three.names:
            three.segment(name, index)
    assert three.call(Trigger, "left/reset_memory").success
    assert three.call(SetBool, "right/enable", data=False).success
    three.wait("right", state="disabled")
    three.images["right"].publish(three.bench.image(2))
    for name in ("front", "left"):
        three.segment(name, 2)
    assert three.wait("front", frames_segmented="3", state="ok")["clip_frames"] == "3"
    assert three.wait("left", frames_segmented="3", state="ok")["clip_frames"] == "1"
    assert three.wait("right", frames_received="3")["frames_segmented"] == "2"

    assert three.call(SetBool, "enable", data=False).success
    for name in three.names:
        three.wait(name, state="disabled")
    assert three.call(SetBool, "enable", data=True).success
    assert three.call(Trigger, "reset_memory").success
    for name in three.names:
        three.segment(name, 3)
        assert three.wait(name, clip_frames="1", state="ok")["resets_reset_memory"] == ("2" if name == "left" else "1")


def test_each_camera_s_bad_images_are_named_once_however_many_they_are(three: Cameras) -> None:
    for index in range(20):
        for name in ("front", "left"):
            image = three.bench.image(index)
            image.step = 7
            three.images[name].publish(image)
        three.segment("right", index)
    for name in ("front", "left"):
        three.bench.until(lambda name=name: int(three.values(name).get("frames_rejected", 0)) > 5, "rejected images")
    (node,) = three.bench.processes
    for name in ("front", "left"):
        assert 1 <= node.output.count(f"image rejected: /{name}/image_raw: ") <= 3  # one in five seconds


def test_an_overloaded_node_gives_every_camera_its_turn(three: Cameras) -> None:
    bench, turns = three.bench, 12
    stamps = dict.fromkeys(three.names, 0)

    def send(name: str) -> None:
        stamps[name] += 1
        three.images[name].publish(bench.image(stamps[name]))

    # The right camera has one image on its way at a time; the others leave the node no pause, front least.
    end = time.monotonic() + WAIT_S
    while len(three.masks["right"]) < turns:
        if len(three.masks["right"]) == stamps["right"]:
            send("right")
        for name in ("front", "front", "front", "front", "left"):
            send(name)
            bench.executor.spin_once(timeout_sec=0)
        assert time.monotonic() < end, f"only {len(three.masks['right'])} masks of the right camera"
    counts = {name: len(three.masks[name]) for name in three.names}
    seen = len(bench.diagnostics)
    bench.until(lambda: len(bench.diagnostics) > seen + 1, "diagnostics that are newer")
    dropped = {name: int(three.values(name)["frames_dropped"]) for name in three.names}
    assert dropped["right"] == 0
    assert dropped["front"] > dropped["left"] > turns, "the node was not overloaded"
    # Four times the images are no more turns.
    assert counts["front"] < 1.5 * counts["left"], counts
    assert counts["left"] < 1.5 * counts["front"], counts
    for name in three.names:
        found = [stamp_ns(mask) for mask in three.masks[name]]
        assert found == sorted(set(found))


def test_cameras_come_and_go_while_the_node_is_unconfigured(bench: Bench, start_node: Start) -> None:
    node = start_node(autostart=False, target_latency_ms=50.0)

    def set_cameras(*names: str) -> SetParametersResult:
        return bench.set_parameter("cameras", list(names))

    refused = set_cameras("front", "front/left")
    assert not refused.successful
    assert "found the name 'front/left', expected letters, digits and _" in refused.reason
    assert set_cameras("front", "left").successful
    assert not bench.transition(CONFIGURE)
    assert "target_latency_ms: found 50, expected 0 with several cameras" in node.output
    assert not bench.node.count_publishers("front/segmentation/mask")
    assert bench.set_parameter("target_latency_ms", 0.0).successful
    for names in (("front", "left"), ("rear",)):
        assert set_cameras(*names).successful
        assert bench.transition(CONFIGURE)
        assert bench.transition(ACTIVATE)
        for name in names:
            bench.until(lambda name=name: bench.node.count_publishers(f"{name}/segmentation/mask"), "the topic")
            bench.until(lambda name=name: bench.node.count_subscribers(f"{name}/image_raw"), "the subscription")
            assert bench.call(Trigger, f"segment_node/{name}/reset_memory", Trigger.Request()).success
        assert not bench.node.count_publishers("segmentation/mask")
        assert "settable while unconfigured" in set_cameras("other").reason
        assert bench.transition(4)
        assert bench.transition(CLEANUP)
        topic, service = f"{names[0]}/segmentation/mask", f"/segment_node/{names[0]}/reset_memory"
        bench.until(lambda topic=topic: not bench.node.count_publishers(topic), "the topics to go")

        bench.until(lambda service=service: service not in bench.used("service"), "the services to go")
    answer = bench.call(Trigger, "segment_node/reset_memory", Trigger.Request())
    assert (answer.success, answer.message) == (False, "no model is loaded; configure the node first")


def test_a_bad_name_on_the_command_line_is_told_and_can_be_put_right(bench: Bench, start_node: Start) -> None:
    node = start_node(cameras="[front, front]")
    bench.wait_status("cannot configure")
    assert "parameter cameras: found 'front' 2 times, expected each name once" in node.output
    assert bench.set_parameter("cameras", ["front", "left"]).successful
    assert bench.transition(CONFIGURE)


def test_remaps_that_form_a_chain_or_a_swap_are_applied_once(bench: Bench, start_node: Start) -> None:
    remaps = []
    for rule in ("a/image_raw:=/b/image_raw", "b/image_raw:=/c/image_raw", "a/camera_info:=/b/camera_info",
                 "b/camera_info:=/a/camera_info"):  # fmt: skip
        remaps += ["-r", rule]
    start_node(*remaps, cameras="[a, b]")
    subscribed = {"/b/image_raw", "/c/image_raw", "/a/camera_info", "/b/camera_info"}
    bench.until(lambda: bench.used("subscriber") >= subscribed, f"{subscribed} in {bench.used('subscriber')}")
    images = bench.node.create_publisher(Image, "/b/image_raw", bench.reliable(10))
    masks = bench.listen("/a/segmentation/mask")
    bench.until(images.get_subscription_count, "the node to subscribe")
    told = "segment_node: /b/image_raw"

    def values() -> dict[str, str]:
        return next((bench.values(s) for s in reversed(bench.statuses) if s.name == told), {})

    bench.until(lambda: (values().get("publishers"), values().get("output_subscribers")) == ("1", "1"), "camera a")
    images.publish(bench.image(0))
    bench.until(lambda: masks, "the mask of camera a")
