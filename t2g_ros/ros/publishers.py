"""What one camera's segmentation is published as; every message carries its frame's own stamp and frame_id.

What nobody subscribes to is neither built nor published: all of it is volatile, so nobody could miss it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from t2g_ros.drawing import overlay
from t2g_ros.labels import LabelSpace
from t2g_ros.labels.palettes import recolored
from t2g_ros.ros.camera_info import scaled
from t2g_ros.ros.images import header_of, to_image
from t2g_ros.ros.parameters import Settings
from t2g_ros.types import Segmentation

# Reliable serves best-effort subscribers too; a few deep, so that a recorder that pauses loses nothing.
MASK_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class SegmentationPublishers:
    """The `segmentation/...` topics of one camera.

    `labels` and `label_info` are always offered, the others as `apply` says. Topics come and go on the executor's
    thread while messages go out on another.

    Args:
        node: who publishes.
        prefix: put before the topic names, empty or ending in a slash.
        space: the classes of the masks.
    """

    def __init__(self, node: Node, prefix: str, space: LabelSpace) -> None:
        self._node = node
        self._own_space = self._space = space
        self._topic = f"{prefix}segmentation"
        self._offered: dict[str, Publisher] = {}
        self._lock = Lock()  # so that no topic is taken down under a message
        self._labels = self._create(String, "labels", LATCHED_QOS)
        self._label_info: Publisher | None = None
        try:
            from vision_msgs.msg import LabelInfo

            self._label_info = self._create(LabelInfo, "label_info", LATCHED_QOS)
        except ImportError:  # not on PyPI; `labels` says the same
            pass

    def apply(self, settings: Settings) -> None:
        """Offer the outputs that are wanted and no others, in the colours that are wanted."""
        with self._lock:
            for name in self._offered.keys() - set(settings.outputs):
                self._node.destroy_publisher(self._offered.pop(name))
            for name in set(settings.outputs) - self._offered.keys():
                self._offered[name] = self._create(CameraInfo if name == "camera_info" else Image, name, MASK_QOS)
        space = recolored(self._own_space, settings.palette)
        if (space.palette != self._space.palette).any():
            self._space = space
            self.publish_labels()

    def subscribers(self) -> int:
        """How many subscribers there are to anything that has to be computed."""
        with self._lock:
            return sum(publisher.get_subscription_count() for publisher in self._offered.values())

    def publish_labels(self) -> None:
        """Tell present and future subscribers what the class ids mean."""
        self._labels.publish(String(data=json.dumps(self._space.to_json())))
        if self._label_info is not None:
            from vision_msgs.msg import LabelInfo, VisionClass

            classes = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(self._space.names)]
            info = LabelInfo(class_map=classes)
            info.header.stamp = self._node.get_clock().now().to_msg()
            self._label_info.publish(info)

    def publish_mask(self, segmentation: Segmentation, info: CameraInfo | None) -> None:
        """Publish mask and confidence, and the calibration that goes with them if the camera has one."""
        header = header_of(segmentation.frame)
        self._publish("mask", lambda: to_image(segmentation.labels, header))
        self._publish("confidence", lambda: to_image(segmentation.confidence, header))
        if info is not None:
            height, width = segmentation.labels.shape
            self._publish("camera_info", lambda: scaled(info, segmentation.frame.size, (height, width), header))

    def publish_stability(self, segmentation: Segmentation, stability: NDArray[np.uint8]) -> None:
        """Publish the (h, w) uint8 stability map at the mask's size."""

        def resized() -> Image:
            height, width = segmentation.labels.shape
            pixels = cv2.resize(stability, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            return to_image(np.asarray(pixels, np.uint8), header_of(segmentation.frame))

        self._publish("stability", resized)

    def publish_pictures(self, segmentation: Segmentation, alpha: float) -> None:
        """Draw and publish what people look at."""
        header, labels, space = header_of(segmentation.frame), segmentation.labels, self._space
        self._publish("color", lambda: to_image(space.colorize(labels), header))
        self._publish("overlay", lambda: to_image(overlay(segmentation.frame.rgb, labels, space, alpha), header))

    def destroy(self) -> None:
        """Take the topics down."""
        with self._lock:
            publishers = [*self._offered.values(), self._labels, self._label_info]
            self._offered.clear()
            for publisher in publishers:
                if publisher is not None:
                    self._node.destroy_publisher(publisher)

    def _publish(self, name: str, make: Callable[[], Image | CameraInfo]) -> None:
        """Publish what `make` returns, which is not called while nobody subscribes."""
        with self._lock:
            publisher = self._offered.get(name)
            wanted = publisher is not None and publisher.get_subscription_count() > 0
        msg = make() if wanted else None
        with self._lock:
            if publisher and msg and self._offered.get(name) is publisher:
                publisher.publish(msg)

    def _create(self, kind: type, name: str, qos: QoSProfile) -> Publisher:
        return self._node.create_publisher(
            kind, f"{self._topic}/{name}", qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
