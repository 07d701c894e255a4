"""The two sides of a ROS test: the node in a process of its own, and the camera and listener in the test's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import NodeNameNonExistentError
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
"""About ten times what the slowest thing waited for takes."""
ASK_AGAIN_S = 1.0
START_NS = 1_700_000_000_000_000_000
FRAME_NS = 100_000_000
SIZE = (96, 160)
PATIENCE = {"max_allowed_processing_time_ms": 60000.0, "stale_after_s": 600.0}
"""Parameters with which a busy machine's node is ok all the same."""


def picture(index: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A (H, W, 3) uint8 image with content that differs by index."""
    return np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)


def stamp_ns(msg: Any) -> int:
    return msg.header.stamp.sec * 1_000_000_000 + msg.header.stamp.nanosec


def pixels(msg: Image) -> np.ndarray:
    """A mono8 image as (H, W), an rgb8 one as (H, W, 3)."""
    channels = {"mono8": (), "rgb8": (3,)}[msg.encoding]
    return np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, *channels)


class NodeProcess:
    """`segment_node` as a user runs it."""

    def __init__(
        self,
        domain_id: int,
        cache: Path,
        log: Path,
        parameters: dict[str, Any],
        extra: tuple[str, ...],
        program: tuple[str, ...] = (sys.executable, "-m", "t2g_ros.ros.segment_node"),
    ):
        self.log = log
        command = [*program, "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{name}:={text}"]
        environment = os.environ | {
            "ROS_DOMAIN_ID": str(domain_id),
            "T2G_CACHE_DIR": str(cache),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        }
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, *extra], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def handles_signals(self) -> bool:
        """Whether the process has a handler for SIGTERM by now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


class Bench:
    """The test's own node: a camera that publishes, a listener, and clients of the node's services."""

    def __init__(self, domain_id: int):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node("bench", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.processes: list[NodeProcess] = []
        self.listeners = 0
        self.statuses: list[DiagnosticStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self.camera = self.node.create_publisher(Image, "image_raw", self.reliable(10))
        self.masks = self.listen("mask")
        self.clients: dict[str, Client] = {}

    @staticmethod
    def reliable(depth: int) -> QoSProfile:
        return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)

    def listen(self, output: str, kind: type = Image, qos: QoSProfile | None = None) -> list[Any]:
        """Subscribe to `segmentation/<output>` and return the list that its messages will be in."""
        received: list[Any] = []
        topic = output if output.startswith("/") else f"segmentation/{output}"
        self.node.create_subscription(kind, topic, received.append, qos or self.reliable(100))
        self.listeners += output not in ("labels", "label_info")
        return received

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        self.diagnostics.append(array)
        self.statuses.extend(array.status)

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
        """Spin until the condition holds and return its value."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            dead = [process.output for process in self.processes if not process.alive]
            assert not dead, f"the node died while waiting for {what}: {dead}"
            self.executor.spin_once(timeout_sec=0.02)
        last = [(s.name, s.message) for s in self.statuses[-2:]]
        raise AssertionError(f"waited {timeout_s:g} s for {what}; last diagnostics: {last}")

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def used(self, kind: str) -> set[str]:
        """Names that the node uses as a "publisher", "subscriber" or "service", as far as discovery has got to know."""
        with suppress(NodeNameNonExistentError):  # it may answer a service call before its name is known
            return {name for name, _ in getattr(self.node, f"get_{kind}_names_and_types_by_node")("segment_node", "/")}
        return set()

    def status(self, text: str, since: int = 0) -> DiagnosticStatus | None:
        """The first status after the `since` first ones whose state or message holds the text."""
        for status in self.statuses[since:]:
            if text in status.message or text == self.values(status).get("state"):
                return status
        return None

    def wait_status(self, text: str, since: int = 0) -> DiagnosticStatus:
        return self.until(lambda: self.status(text, since), f"a diagnostics status '{text}'")

    def camera_values(self) -> dict[str, str]:
        """The newest key-value pairs of the camera."""
        return next((self.values(s) for s in reversed(self.statuses) if "image_raw" in s.name), {})

    def wait_value(self, key: str, value: str) -> dict[str, str]:
        self.until(lambda: self.camera_values().get(key) == value, f"{key} = {value} in {self.camera_values()}")
        return self.camera_values()

    @staticmethod
    def values(status: DiagnosticStatus) -> dict[str, str]:
        return {pair.key: pair.value for pair in status.values}

    def image(self, index: int, rgb: np.ndarray | None = None, stamp: int | None = None) -> Image:
        rgb = picture(index) if rgb is None else rgb
        sec, nanosec = divmod(START_NS + index * FRAME_NS if stamp is None else stamp, 1_000_000_000)
        header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id="front_optical")
        height, width = rgb.shape[:2]
        return Image(header=header, height=height, width=width, step=width * 3, encoding="rgb8", data=rgb.tobytes())

    def ready(self) -> None:
        """Wait until node, camera and listeners are connected to each other, seen from both sides."""

        def connected() -> bool:
            values = self.camera_values()
            return (
                self.camera.get_subscription_count() > 0
                and values.get("state") != "inactive"
                and values.get("publishers", "0") != "0"
                and values.get("output_subscribers") == str(self.listeners)
            )

        self.until(connected, "the node to be connected")

    def segment(self, msg: Image, publisher: Any = None) -> Image:
        """Publish an image and return the mask that carries its stamp."""
        stamp = (msg.header.stamp.sec, msg.header.stamp.nanosec)
        before = len(self.masks)
        (publisher or self.camera).publish(msg)

        def mask() -> Any:
            return next((m for m in self.masks[before:] if (m.header.stamp.sec, m.header.stamp.nanosec) == stamp), None)

        return self.until(mask, f"the mask of stamp {stamp}")

    def client(self, kind: type, name: str) -> Client:
        """The client of a service, kept for the next call."""
        if name not in self.clients:
            self.clients[name] = self.node.create_client(kind, name)
            if name.startswith("segment_node/"):
                self._make_known()
        return self.clients[name]

    def _make_known(self) -> None:
        """Wait until the node knows all clients there are: what those ask whom it does not know yet is lost.

        It hears of them in order, so it knows them when it has answered one that is made after them.
        """
        probe = self.node.create_client(GetState, "segment_node/get_state")
        self.until(probe.service_is_ready, "the node's services")
        asked: dict[float, Future] = {}

        def answered() -> bool:
            if time.monotonic() > max(asked, default=0.0) + ASK_AGAIN_S:
                asked[time.monotonic()] = probe.call_async(GetState.Request())
            return any(future.done() for future in asked.values())

        self.until(answered, "the node to know its clients")
        self.node.destroy_client(probe)

    def call(self, kind: type, name: str, request: Any) -> Any:
        client = self.client(kind, name)
        self.until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.until(future.done, f"an answer of {name}")
        return future.result()

    def transition(self, transition_id: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition_id
        return self.call(ChangeState, "segment_node/change_state", request).success

    def state(self) -> str:
        return self.call(GetState, "segment_node/get_state", GetState.Request()).current_state.label

    def set_parameter(self, name: str, value: Any) -> Any:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, "segment_node/set_parameters", request).results[0]

    def close(self) -> None:
        # The executor first: it still holds the node's entities, and rclpy once crashed in destroying them under it.
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


class Player:
    """Plays ticks of simulation time to a node that follows it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._clock = bench.node.create_publisher(Clock, "/clock", 10)
        bench.until(self._clock.get_subscription_count, "the node to follow /clock")

    def tick(self, ns: int) -> None:
        """Tell the time until the node has taken it, which the stamps of its diagnostics show."""
        msg = Clock()
        msg.clock.sec, msg.clock.nanosec = divmod(ns, 1_000_000_000)
        bench = self._bench

        def taken() -> bool:
            # Again and again, as a player does: the node takes ticks as best they come.
            self._clock.publish(msg)
            return bool(bench.diagnostics) and stamp_ns(bench.diagnostics[-1]) == ns

        bench.until(taken, "the time in diagnostics")
