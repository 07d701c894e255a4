"""The other side of a live node: a camera at a rate, and a receiver that notes when each mask arrives."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from t2g_ros.ros.images import header_of, to_image
from t2g_ros.types import NS_PER_S, Frame

READY_TIMEOUT_S = 300.0
"""The first start converts the model for the engine."""
QUIET_S = 1.0
"""No mask for so long after the last image: the rest was dropped."""
JPEG_QUALITY = 95


Spinning = TypeVar("Spinning", bound="SpinningNode")


@dataclass(frozen=True)
class Played:
    """One stretch of images and their masks."""

    sent_ns: Sequence[int]
    """Stamps of the images, the wall clock when each was published, in order."""
    arrived_ns: Mapping[int, int]
    """Stamp of an image -> wall clock when its mask was there."""
    cpu_percent: float
    """Of the node's process meanwhile; 100 is one core."""

    def latencies_ms(self) -> list[float]:
        """From image to mask, of the images that got one, in order."""
        return [(self.arrived_ns[stamp] - stamp) / 1e6 for stamp in self.sent_ns if stamp in self.arrived_ns]

    def missed_percent(self) -> float:
        """Share of the images that got no mask."""
        return 100 * (1 - len(self.latencies_ms()) / len(self.sent_ns))

    def published_hz(self) -> float:
        """At which rate the images really went out."""
        return (len(self.sent_ns) - 1) * NS_PER_S / (self.sent_ns[-1] - self.sent_ns[0])

    def later_ms(self) -> float | None:
        """How much later the masks of the second half are than those of the first, by the medians; None if unknown."""
        halves = np.array_split(self.latencies_ms(), 2)
        return float(np.median(halves[1]) - np.median(halves[0])) if all(map(len, halves)) else None

    def jitter_ms(self) -> float | None:
        """Mean change of the latency from one mask to the next (as in RFC 3550); None of fewer than two."""
        latencies = self.latencies_ms()
        return float(np.abs(np.diff(latencies)).mean()) if len(latencies) > 1 else None


class SpinningNode(Node):
    """A node whose callbacks run in a thread of their own while it is a context.

    Args:
        name: of the node.
        namespace: of the node.
        context: of rclpy, initialized.
    """

    def __init__(self, name: str, namespace: str, context: Context) -> None:
        super().__init__(name, namespace=namespace, context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._thread = Thread(target=self._spin)

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def __enter__(self: Spinning) -> Spinning:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The executor first: it still holds the node's entities.
        self._executor.shutdown()
        self._thread.join()
        self.destroy_node()


class CameraAndReceiver(SpinningNode):
    """Publishes images and takes masks, in the namespace of a node; takes them in a thread while it is a context.

    Args:
        context: of rclpy, initialized.
        namespace: of the camera and the node.
        node_name: of the node.
        frames: (H, W, 3) RGB, played in a circle.
        compressed: publish JPEG files instead of pixels.
        pictures: subscribe to what people look at, too.
    """

    def __init__(
        self,
        context: Context,
        namespace: str,
        node_name: str,
        frames: Sequence[NDArray[np.uint8]],
        *,
        compressed: bool,
        pictures: bool,
    ) -> None:
        super().__init__("camera_and_receiver", namespace, context)
        self.diagnostics: dict[str, dict[str, str]] = {}
        """What a status of the node is of, `model` or a topic -> its newest values."""
        self._told = 0
        self._arrived_ns: dict[int, int] = {}
        self._seen: set[str] = set()
        self._node_name = f"{namespace}/{node_name}: ".lstrip("/")
        # Reliable, since the usual node's default QoS takes nothing less.
        kind, topic = (CompressedImage, "image_raw/compressed") if compressed else (Image, "image_raw")
        self._images = self.create_publisher(kind, topic, 10)
        self._messages = [_message(frame, compressed) for frame in frames]
        self._next = 0
        self._awaited = ("mask", "color", "overlay") if pictures else ("mask",)
        for output in self._awaited:
            self._listen(output)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 20)

    def _listen(self, output: str) -> None:
        def take(data: bytes) -> None:
            now_ns = time.time_ns()
            self._seen.add(output)
            if output == "mask":
                # CDR: 4 bytes that name the encoding, then the header, which begins with the stamp.
                sec, nanosec = struct.unpack_from("<iI", data, 4)
                self._arrived_ns.setdefault(sec * NS_PER_S + nanosec, now_ns)

        self.create_subscription(Image, f"segmentation/{output}", take, QoSProfile(depth=50), raw=True)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._node_name):
                about = status.name.removeprefix(self._node_name)
                self.diagnostics[about] = {value.key: value.value for value in status.values}
        self._told += 1

    def connect(self, check: Callable[[], object]) -> None:
        """Publish an image now and then until everything that is listened to has come.

        Args:
            check: called meanwhile; raises if the node has ended.

        Raises:
            TimeoutError: it did not come in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._seen.issuperset(self._awaited):
            check()
            if time.monotonic() > deadline:
                missing = set(self._awaited) - self._seen
                raise TimeoutError(f"{self._node_name}nothing on {sorted(missing)} within {READY_TIMEOUT_S:.0f} s")
            self._publish()
            time.sleep(0.2)

    def play(self, rate_hz: float, frames: int, warm_up: int, pid: int) -> Played:
        """Publish at a rate, after `warm_up` images at that rate which do not count, and wait for the masks.

        Args:
            rate_hz: images per second. A camera that is late by more than a period does not catch up.
            frames: images that count.
            warm_up: images before them.
            pid: the node's process.
        """
        self._arrived_ns.clear()
        sent_ns: list[int] = []
        period_s, due_s = 1 / rate_hz, time.monotonic()
        for k in range(warm_up + frames):
            time.sleep(max(0.0, due_s - time.monotonic()))
            if time.monotonic() > due_s + period_s:
                due_s = time.monotonic()
            due_s += period_s
            if k == warm_up:
                before_s, start_s = cpu_s(pid), time.monotonic()
            sent_ns.append(self._publish())
        cpu_percent = 100 * (cpu_s(pid) - before_s) / (time.monotonic() - start_s)
        missing, quiet_since = set(sent_ns), time.monotonic()
        while missing and time.monotonic() - quiet_since < QUIET_S:
            time.sleep(0.02)
            if missing & self._arrived_ns.keys():
                missing, quiet_since = missing - self._arrived_ns.keys(), time.monotonic()
        return Played(sent_ns[warm_up:], dict(self._arrived_ns), cpu_percent)

    def engine_ms(self) -> float | None:
        """Median of encode plus that of decode over the node's last 256 frames; None if it does not say."""
        told, deadline = self._told, time.monotonic() + 3  # it says it once a second
        while self._told < told + 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        values = self.diagnostics.get(self._images.topic_name, {})
        stages = [values.get(f"stage_{stage}_ms_p50", "n/a") for stage in ("encode", "decode")]
        return None if "n/a" in stages else sum(map(float, stages))

    def _publish(self) -> int:
        """Publish the next image and return its stamp."""
        message = self._messages[self._next % len(self._messages)]
        self._next += 1
        stamp_ns = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)
        self._images.publish(message)
        return stamp_ns


def _message(rgb: NDArray[np.uint8], compressed: bool) -> Any:
    header = header_of(Frame(rgb, 0, "camera_optical_frame"))
    if not compressed:
        return to_image(rgb, header)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data.tobytes())


def cpu_s(pid: int) -> float:
    """Seconds of a core that a process has used, user and system."""
    # The second field is the name in brackets, which may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
