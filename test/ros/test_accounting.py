"""What becomes of every frame: those received are those segmented and those that were not, each by its cause."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from threading import Event
from time import monotonic_ns

import pytest
from soak_figures import unaccounted
from std_srvs.srv import SetBool, Trigger

from t2g_ros.ros.health import State
from t2g_ros.ros.node import SegmentNode

from .bench import Bench, NodeProcess


def test_every_frame_is_accounted_for_by_its_cause(bench: Bench, start_node: Callable[..., NodeProcess]) -> None:
    start_node(lag_frames=2)
    bench.ready()
    sent = 0

    def taken() -> bool:
        values = bench.camera_values()
        return values.get("frames_received") == str(sent) and unaccounted(values) == 0

    def send(count: int, size: int | None = None) -> dict[str, str]:
        """Publish, one after another as the node takes them, and return what it says then."""
        nonlocal sent
        for _ in range(count):
            msg = bench.image(sent)
            msg.data = msg.data[:size]
            bench.camera.publish(msg)
            sent += 1
            bench.until(taken, f"image {sent} to be accounted for")
        return bench.camera_values()

    values = send(5)
    assert (values["frames_segmented"], values["frames_waiting"]) == ("3", "2")
    assert bench.call(Trigger, "segment_node/reset_memory", Trigger.Request()).success
    values = bench.wait_value("frames_skipped_reset", "2")
    assert values["frames_waiting"] == "0"
    values = send(3)
    assert (values["frames_segmented"], values["frames_waiting"]) == ("4", "2")
    assert send(2, size=100)["frames_rejected"] == "2"
    assert bench.call(SetBool, "segment_node/enable", SetBool.Request(data=False)).success
    assert send(3)["frames_skipped_disabled"] == "3"
    assert bench.call(SetBool, "segment_node/enable", SetBool.Request(data=True)).success
    bench.wait_value("frames_skipped_reset", "4")
    send(3)
    # Faster than they can be taken, and then without a listener.
    for _ in range(100):
        bench.camera.publish(bench.image(sent))
        sent += 1
    seen = len(bench.diagnostics)
    bench.until(
        lambda: len(bench.diagnostics) > seen + 1 and unaccounted(bench.camera_values()) == 0, "the burst's end"
    )
    assert bench.transition(4)
    assert bench.transition(3)
    bench.ready()
    values = send_one_more(bench, sent)
    assert unaccounted(values) == 0
    assert int(values["frames_received"]) <= sent + 1
    assert len(bench.masks) == int(values["frames_segmented"])


def send_one_more(bench: Bench, index: int) -> dict[str, str]:
    received = int(bench.camera_values()["frames_received"])
    bench.camera.publish(bench.image(index))
    bench.until(lambda: int(bench.camera_values()["frames_received"]) > received, "the last image")
    bench.until(lambda: unaccounted(bench.camera_values()) == 0, "all to be accounted for")
    return bench.camera_values()


def test_diagnostics_that_cannot_be_published_cost_no_mask(
    bench: Bench, own_node: SegmentNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_node.trigger_configure()
    own_node.trigger_activate()
    bench.until(lambda: own_node.count_subscribers("segmentation/mask"), "the node to know its listener")
    (camera,) = own_node._cameras
    failures = []

    def fail(message: object) -> None:
        failures.append(message)
        raise RuntimeError("cannot publish data")

    for index in range(6):
        if index == 1:
            monkeypatch.setattr(own_node._diagnostics._publisher, "publish", fail)
            own_node._diagnostics.set_model_state(b"\1", "another state, so that it is told")
            monkeypatch.setattr(own_node._diagnostics, "_due_ns", 0)
        camera.leave(bench.image(index))
        bench.until(lambda index=index: len(bench.masks) == index + 1, f"mask {index}")
    assert failures


def test_images_that_wait_behind_a_hung_engine_make_their_camera_late(bench: Bench, own_node: SegmentNode) -> None:
    own_node.trigger_configure()
    own_node.trigger_activate()
    bench.until(lambda: own_node.count_subscribers("segmentation/mask"), "the node to know its listener")
    (camera,) = own_node._cameras
    hangs = Event()
    own_node._worker.submit(hangs.wait)  # as it does with another camera's image

    indices = count()

    def state() -> State:
        camera._on_image(bench.image(next(indices)))
        return camera.verdict().state

    try:
        bench.until(lambda: state() == State.LATE, "the camera to be late")
        # Not if the engine takes others meanwhile: then this one waits for its turn.
        own_node._turns.begun_ns = monotonic_ns()
        state()
        assert camera.health.waiting_since_ns == own_node._turns.begun_ns
    finally:
        hangs.set()
    bench.until(lambda: state() == State.OK, "the camera to be in time again")
