"""In which order cameras meet the engine, and what becomes of a batch: real cameras, images put into the mailboxes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from t2g_ros.cores import cores
from t2g_ros.errors import EngineDown
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.ros.cameras import Camera
from t2g_ros.ros.images import to_image
from t2g_ros.ros.parameters import Settings
from t2g_ros.ros.turns import Turns
from t2g_ros.ros.worker import Worker
from t2g_ros.runtimes import Runtime, load_runtime, runtimes_for
from t2g_ros.types import NS_PER_S, Frame

from .bench import FRAME_NS, START_NS, WAIT_S, picture

NAMES = ("front", "left", "right")


class Rig:
    """Three cameras on one engine of which nobody listens to a mask."""

    def __init__(self, node: LifecycleNode, runtime: Runtime, threads: int = 0) -> None:
        self.inference, self.outputs = Worker("inference"), Worker("outputs")
        self.turns = Turns(self.inference)
        self.ended: list[str] = []
        shared = self.inference, self.turns, self.outputs
        settings = Settings(threads=threads)
        self.cameras = {
            name: Camera(node, *shared, each, settings, None, lambda name=name: self.ended.append(name), f"{name}/")
            for name, each in zip(NAMES, runtimes_for(runtime, len(NAMES)), strict=True)
        }
        for camera in self.cameras.values():
            camera.health.active = True

    def put(self, name: str, index: int, apart_ns: int = 0, seed: int = 0) -> None:
        """Leave an image in a camera's mailbox, as its subscription does."""
        image = to_image(picture(index + 100 * seed), Header())
        stamp_ns = START_NS + index * FRAME_NS + apart_ns
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)
        self.put_image(name, image)

    def put_image(self, name: str, image: Image) -> None:
        self.cameras[name].leave(image)

    def busy(self) -> Event:
        """Keep the inference thread at work until the event is set."""
        done = Event()
        self.inference.submit(done.wait)
        return done

    def wait(self) -> None:
        """Until all that waits now is out."""
        while any(camera.stream.waiting_stamp_ns is not None for camera in self.cameras.values()):
            self.inference.submit(int).result(60)
        self.inference.submit(int).result(60)
        self.outputs.submit(int).result(60)

    def end(self) -> None:
        ends = [self.inference.stop, self.outputs.stop, *(camera.end_thread for camera in self.cameras.values())]
        assert all([end(60) for end in ends])  # noqa: C419

    def counts(self, key: str) -> list[int]:
        return [getattr(camera.health, key) for camera in self.cameras.values()]


@pytest.fixture
def node(domain_id: int) -> Iterator[LifecycleNode]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = LifecycleNode("turns", context=context, enable_rosout=False)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def runtime(random_model: Path) -> Runtime:
    """An engine that can batch, and is taken to gain by it, as on CUDA."""
    runtime = load_runtime(
        random_model, runtime="torch", device="cpu", precision="f32", input_size=(64, 128), threads=1
    )
    runtime.batch_frames = 4
    return runtime


@pytest.fixture
def rig(node: LifecycleNode, runtime: Runtime) -> Iterator[Rig]:
    rig = Rig(node, runtime)
    yield rig
    rig.end()


def test_the_camera_that_has_waited_longest_is_next_however_many_images_others_send(rig: Rig) -> None:
    far = 10 * NS_PER_S
    for at in range(0, 40, 10):
        done = rig.busy()
        for index in range(5):
            rig.put("front", at + index)
        rig.put("left", at, far)
        for index in range(5, 10):
            rig.put("front", at + index)
        rig.put("right", at, 2 * far)
        done.set()
        rig.wait()
    assert rig.ended == ["front", "left", "right"] * 4
    assert rig.counts("segmented") == [4, 4, 4]
    assert [camera.stream.mailbox.dropped for camera in rig.cameras.values()] == [4 * 9, 0, 0]
    assert rig.counts("batched") == [0, 0, 0]


def test_a_batch_takes_along_whose_images_wait_and_are_close_in_time(rig: Rig) -> None:
    done = rig.busy()
    rig.put("front", 0)
    rig.put("left", 0, 60_000_000)  # more than max_camera_time_diff_s
    rig.put("right", 0, -50_000_000)
    done.set()
    rig.wait()
    assert rig.counts("batched") == [1, 0, 1]
    rig.put("left", 1)  # nobody else: not waited for
    rig.wait()
    assert rig.counts("segmented") == [1, 2, 1]
    assert rig.counts("batched") == [1, 0, 1]
    timing = rig.cameras["right"].health.stage_ms
    assert set(timing) == {"wait", "convert", "preprocess", "encode", "decode", "postprocess", "stability", "publish"}
    assert min(timing.values()) >= 0


def test_a_batch_gives_each_camera_the_masks_that_it_has_alone(rig: Rig, runtime: Runtime) -> None:
    alone = [StreamSegmenter(runtime.another()) for _ in NAMES]
    for index in range(6):
        done = rig.busy()
        for place, name in enumerate(NAMES):
            rig.put(name, index, seed=place)
        done.set()
        rig.wait()
        for place, camera in enumerate(rig.cameras.values()):
            expected = alone[place].step(Frame(picture(index + 100 * place), START_NS + index * FRAME_NS))
            found = camera.health.segmentation
            assert expected is not None
            assert found is not None
            assert found.clip_frames == expected.clip_frames
            assert np.mean(found.labels == expected.labels) >= 0.999  # a batch rounds differently
            assert len(np.unique(found.labels)) > 2
    assert rig.counts("batched") == [6, 6, 6]


def test_how_close_stamps_have_to_be_may_change_while_the_cameras_run(rig: Rig) -> None:
    for close_s, batched in ((0.05, 1), (0.0, 1), (1.0, 2)):
        for camera in rig.cameras.values():
            camera.apply(Settings(max_camera_time_diff_s=close_s))
        index = rig.cameras["front"].health.segmented
        done = rig.busy()
        rig.put("front", index)
        rig.put("left", index, 1)
        done.set()
        rig.wait()
        assert rig.counts("batched") == [batched, batched, 0], close_s


def test_a_bad_image_leaves_the_rest_of_a_batch(rig: Rig) -> None:
    done = rig.busy()
    bad = Image(encoding="rgb8", height=3, width=3)
    bad.header.stamp.sec, bad.header.stamp.nanosec = divmod(START_NS, NS_PER_S)
    rig.put("front", 0)
    rig.put_image("left", bad)
    rig.put("right", 0)
    done.set()
    rig.wait()
    assert rig.counts("rejected") == [0, 1, 0]
    assert rig.counts("batched") == [1, 0, 1]
    assert rig.counts("segmented") == [1, 0, 1]


def test_images_of_a_batch_that_fails_are_encoded_alone(
    rig: Rig, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = type(runtime).encode_batch

    def full(self: Runtime, images: np.ndarray, places: list[tuple[Runtime, int]]) -> None:
        if len(images) > 1:
            raise RuntimeError("out of memory")
        batch(self, images, places)

    alone = StreamSegmenter(runtime.another())
    monkeypatch.setattr(type(runtime), "encode_batch", full)
    for index in range(3):
        done = rig.busy()
        for name in NAMES:
            rig.put(name, index)
        done.set()
        rig.wait()
        expected = alone.step(Frame(picture(index), START_NS + index * FRAME_NS))
        assert expected is not None
        for camera in rig.cameras.values():
            assert camera.health.segmentation is not None
            np.testing.assert_array_equal(camera.health.segmentation.labels, expected.labels)
    assert rig.counts("segmented") == [3, 3, 3]
    assert rig.counts("batched") == rig.counts("failed") == [0, 0, 0]
    assert not any(camera.segmenter.reset_counts for camera in rig.cameras.values())


def test_while_the_engine_is_down_batches_say_nothing_of_their_own(
    rig: Rig, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(self: Runtime, images: np.ndarray, places: list[tuple[Runtime, int]]) -> None:
        raise EngineDown("engine given up")

    monkeypatch.setattr(type(runtime), "encode_batch", down)
    with caplog.at_level(logging.WARNING):
        done = rig.busy()
        for name in NAMES:
            rig.put(name, 0)
        done.set()
        rig.wait()
    assert "batch" not in caplog.text  # at every frame, for as long as it takes
    skipped = [camera.health.skipped["recovering"] for camera in rig.cameras.values()]
    assert skipped == [1, 1, 1]


def test_the_next_image_is_inferred_while_the_one_before_is_published(rig: Rig) -> None:
    released = Event()
    rig.outputs.submit(released.wait)  # a publisher that takes its time
    try:
        rig.put("front", 0)
        rig.inference.submit(int).result(60)
        rig.put("left", 0, 10 * NS_PER_S)
        rig.inference.submit(int).result(60)
        assert rig.cameras["left"].stream.waiting_stamp_ns is None
        assert rig.counts("segmented") == [0, 0, 0]
    finally:
        released.set()
    rig.wait()
    assert rig.counts("segmented") == [1, 1, 0]


def test_what_nobody_listens_to_is_not_made(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*args: object) -> Image:
        raise AssertionError("a message for nobody")

    monkeypatch.setattr("t2g_ros.ros.publishers.to_image", made)
    for index in range(2):
        rig.put("front", index)
        rig.wait()
    assert rig.cameras["front"].health.problem is None
    assert rig.counts("failed") == [0, 0, 0]
    assert rig.counts("segmented") == [2, 0, 0]


@pytest.mark.parametrize("threads", [0, 1])
def test_what_waits_is_converted_meanwhile_if_the_engine_leaves_a_core_free(
    node: LifecycleNode, runtime: Runtime, threads: int
) -> None:
    rig = Rig(node, runtime, threads)
    early = threads == 1 and cores() > 1
    done = rig.busy()
    for index in range(2):
        for name in NAMES:
            rig.put(name, index)
    letters = [camera.stream.mailbox.peek() for camera in rig.cameras.values()]
    end = monotonic() + (WAIT_S if early else 0.2)
    while not all(letter and letter.convert_ms for letter in letters) and monotonic() < end:
        sleep(0.001)
    assert [letter is not None and letter.convert_ms > 0 for letter in letters] == [early] * len(NAMES)
    done.set()
    rig.wait()
    assert rig.counts("segmented") == [1, 1, 1]
    assert all(letter and letter.convert_ms for letter in letters)
    rig.end()
