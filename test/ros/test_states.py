"""Every state that a fault of the input drives the camera into, and that it ends by itself with the fault."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from std_srvs.srv import SetBool

from .bench import Bench, NodeProcess, picture

Start = Callable[..., NodeProcess]
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Walk:
    """Drives one node from state to state."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.frames = 0
        self.seen = 0

    def good(self, frames: int = 1, index: int | None = None) -> None:
        """Send images and wait for their masks; pictures of their own, or all of the same index."""
        for _ in range(frames):
            rgb = picture(self.frames if index is None else index)
            self.bench.segment(self.bench.image(self.frames, rgb))
            self.frames += 1

    def bad(self) -> None:
        msg = self.bench.image(self.frames)
        msg.step = 1
        self.bench.camera.publish(msg)
        self.frames += 1

    def set(self, **values: object) -> None:
        for name, value in values.items():
            assert self.bench.set_parameter(name, value).successful

    def expect(self, state: str, level: bytes, message: str) -> None:
        """Wait for a state that is told after the one waited for before."""
        bench = self.bench

        def found() -> DiagnosticStatus | None:
            while self.seen < len(bench.statuses):
                status = bench.statuses[self.seen]
                self.seen += 1
                if bench.values(status).get("state") == state:
                    return status
            return None

        status = bench.until(found, f"state {state}")
        assert status.level == level, (state, status.level, status.message)
        assert message in status.message

    def ok(self) -> None:
        self.expect("ok", OK, "ok")


def test_each_fault_has_a_state_of_its_own_and_ends_with_its_cause(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    walk = Walk(bench)
    walk.expect("waiting", WARN, "waiting for the first image on /image_raw")
    walk.good()
    walk.ok()

    walk.set(stale_after_s=0.3)
    walk.expect("stale", ERROR, "no image on /image_raw for")
    walk.set(stale_after_s=600.0)
    walk.good()
    walk.ok()

    walk.bad()
    walk.expect("rejected", ERROR, "expected step x height = 1 x 96")
    walk.good()
    walk.ok()

    walk.set(max_allowed_processing_time_ms=0.1)
    walk.expect("late", WARN, "allowed are 0.1 ms")
    walk.set(max_allowed_processing_time_ms=60000.0)
    walk.ok()

    # Noise gives masks without any stability, a picture that stands still gives stable ones.
    walk.good(5)
    flicker = float(bench.wait_value("frames_segmented", str(walk.frames - 1))["mean_flicker"])
    assert flicker > 0.05
    walk.set(max_mean_flicker=flicker / 2, unstable_after_s=0.3)
    walk.good(5)
    walk.expect("unstable", WARN, "unstable: mean flicker is")
    assert bench.camera_values()["is_mean_flicker_in_range"] == "false"
    assert bench.camera_values()["is_mean_temporal_consistency_in_range"] in ("true", "n/a")
    walk.good(25, index=0)
    walk.ok()
    assert bench.camera_values()["is_mean_flicker_in_range"] == "true"

    assert bench.call(SetBool, "segment_node/enable", SetBool.Request(data=False)).success
    walk.expect("disabled", OK, "disabled by ~/enable")
    assert bench.call(SetBool, "segment_node/enable", SetBool.Request(data=True)).success
    walk.ok()

    (masks,) = (s for s in bench.node.subscriptions if s.topic_name == "/segmentation/mask")
    bench.node.destroy_subscription(masks)
    bench.listeners = 0
    bench.wait_value("output_subscribers", "0")
    bench.camera.publish(bench.image(walk.frames))
    walk.frames += 1
    walk.expect("paused", OK, "nobody subscribes")
    bench.masks = bench.listen("mask")
    bench.wait_value("output_subscribers", "1")
    walk.good()
    walk.ok()

    assert bench.transition(Transition.TRANSITION_DEACTIVATE)
    walk.expect("inactive", OK, "the node is not active")
    assert bench.transition(Transition.TRANSITION_ACTIVATE)
    walk.expect("waiting", WARN, "waiting for the first image")
    bench.ready()
    walk.good()
    walk.ok()
