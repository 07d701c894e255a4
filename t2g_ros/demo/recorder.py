"""The recorder: writes what the node publishes to a bag, byte for byte, and notes when each mask arrived."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.writer import CompressionFormat, CompressionMode
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image
from std_msgs.msg import String

from t2g_ros.errors import T2GError
from t2g_ros.sources.bags.writer import BAG_VERSION
from t2g_ros.types import NS_PER_S

MASK = "segmentation/mask"
STABILITY = "segmentation/stability"
IMAGES = (MASK, "segmentation/confidence", STABILITY)
LABELS = "segmentation/labels"
DIAGNOSTICS = "/diagnostics"
STAGE_KEY = re.compile(r"stage_(\w+)_ms_(p50|p95)")


class RecordingError(T2GError):
    """The bag cannot be written."""


class Recorder(Node):
    """Records the masks, confidence and stability of one camera, its labels and the diagnostics.

    Args:
        bag: folder to write, must not exist.
        namespace: of the camera.
        node_name: of the segmentation node in that namespace.

    Use as a context manager; the bag is complete when it is left without an error.

    Raises:
        RecordingError: the disk is full, at any message and at the end.
    """

    def __init__(self, bag: Path, namespace: str, node_name: str) -> None:
        super().__init__("recorder", namespace=namespace)
        self.arrivals_ns: dict[int, int] = {}
        """Stamp of every mask -> wall clock of its first arrival, both in nanoseconds."""
        self.repeated: list[int] = []
        """Stamps under which a mask came again."""
        self.diagnostics: dict[str, dict[str, str]] = {}
        """Name of a status -> its newest values."""
        self.model_error: str | None = None
        """What the node says is wrong with its model."""
        self.topics: dict[str, str] = {}
        """Topic relative to the camera -> its full name, under which it is in the bag."""
        self._node_name = f"{namespace}/{node_name}".lstrip("/")
        self._image_topic = self.resolve_topic_name("image_raw")
        self._writer = Writer(bag, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        # Masks are a hundredth of their size compressed.
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        for topic in IMAGES:
            self._record(topic, Image, QoSProfile(depth=50))
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._record(LABELS, String, latched)
        self._record(DIAGNOSTICS, DiagnosticArray, QoSProfile(depth=20))

    def _record(self, topic: str, kind: Any, qos: QoSProfile) -> None:
        self.topics[topic] = name = self.resolve_topic_name(topic)
        kind_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        connection = self._writer.add_connection(name, kind_name, typestore=self._typestore)

        def take(data: bytes) -> None:
            self._take(topic, connection, data)

        self.create_subscription(kind, topic, take, qos, raw=True)

    def _take(self, topic: str, connection: Connection, data: bytes) -> None:
        now_ns = time.time_ns()
        if topic == MASK:
            # CDR: 4 bytes that name the encoding, then the header, which begins with the stamp.
            sec, nanosec = struct.unpack_from("<iI", data, 4)
            stamp_ns = sec * NS_PER_S + nanosec
            if stamp_ns in self.arrivals_ns:
                self.repeated.append(stamp_ns)
            self.arrivals_ns.setdefault(stamp_ns, now_ns)
        elif topic == DIAGNOSTICS:
            for status in deserialize_message(data, DiagnosticArray).status:
                # Other nodes of the domain publish here too.
                if status.name.startswith(self._node_name):
                    self.diagnostics[status.name] = {value.key: value.value for value in status.values}
                    if status.name.endswith(": model"):
                        self.model_error = status.message if status.level == DiagnosticStatus.ERROR else None
        try:
            self._writer.write(connection, now_ns, data)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"bag {self._writer.path}: cannot be written any more ({error}); what was recorded before is kept there, "
            "and `t2g evaluate` reads it; make room, or choose a folder on another disk"
        )

    def node_is_ready(self) -> bool:
        """Whether the node takes images, and it and this recorder know each other."""
        camera = self.diagnostics.get(f"{self._node_name}: {self._image_topic}", {})
        known = camera.get("output_subscribers", "").isdecimal() and int(camera["output_subscribers"]) >= len(IMAGES)
        return known and bool(self.count_publishers(self.topics[MASK]) and self.count_subscribers(self._image_topic))

    def model_status(self) -> dict[str, str]:
        """What the node said last of its model; empty before it said anything."""
        return self.diagnostics.get(f"{self._node_name}: model", {})

    def stage_ms(self) -> dict[str, dict[str, float]]:
        """Stage -> p50 and p95 over the last frames, in milliseconds, as the node said last."""
        stages: dict[str, dict[str, float]] = {}
        for key, value in self.diagnostics.get(f"{self._node_name}: {self._image_topic}", {}).items():
            if (match := STAGE_KEY.fullmatch(key)) and value != "n/a":
                stages.setdefault(match[1], {})[match[2]] = round(float(value), 2)
        return stages

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # After an error without an index, which the disk may not hold, and not to hide the error.
            self._writer.__exit__(kind, None, None)
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            self.destroy_node()
