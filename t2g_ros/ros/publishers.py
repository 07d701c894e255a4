"""What one camera's segmentation is published as; every message carries its frame's own stamp and frame_id.

What nobody subscribes to is neither built nor published: all of it is volatile, so nobody could miss it.
"""

from __future__ import annotations

import json

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
from t2g_ros.ros.camera_info import scaled
from t2g_ros.ros.images import header_of, to_image
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

    Args:
        node: who publishes.
        prefix: put before the topic names, empty or ending in a slash.
        space: the classes of the masks.
    """

    def __init__(self, node: Node, prefix: str, space: LabelSpace) -> None:
        self._node = node
        self._space = space
        self._topic = f"{prefix}segmentation"
        self._mask = self._image("mask")
        self._confidence = self._image("confidence")
        self._stability = self._image("stability")
        self._color = self._image("color")
        self._overlay = self._image("overlay")
        self._camera_info = self._create(CameraInfo, "camera_info", MASK_QOS)
        self._labels = self._create(String, "labels", LATCHED_QOS)
        self._label_info: Publisher | None = None
        try:
            from vision_msgs.msg import LabelInfo

            self._label_info = self._create(LabelInfo, "label_info", LATCHED_QOS)
        except ImportError:  # not on PyPI; `labels` says the same
            pass

    def subscribers(self) -> int:
        """How many subscribers there are to anything that has to be computed."""
        outputs = (self._mask, self._confidence, self._stability, self._color, self._overlay, self._camera_info)
        return sum(publisher.get_subscription_count() for publisher in outputs)

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
        if self._mask.get_subscription_count():
            self._mask.publish(to_image(segmentation.labels, header))
        if self._confidence.get_subscription_count():
            self._confidence.publish(to_image(segmentation.confidence, header))
        if info is not None:
            height, width = segmentation.labels.shape
            self._camera_info.publish(scaled(info, segmentation.frame.size, (height, width), header))

    def publish_stability(self, segmentation: Segmentation, stability: NDArray[np.uint8]) -> None:
        """Publish the (h, w) uint8 stability map at the mask's size."""
        if not self._stability.get_subscription_count():
            return
        height, width = segmentation.labels.shape
        resized = cv2.resize(stability, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        self._stability.publish(to_image(np.asarray(resized, np.uint8), header_of(segmentation.frame)))

    def publish_pictures(self, segmentation: Segmentation, alpha: float) -> None:
        """Draw and publish what people look at."""
        header = header_of(segmentation.frame)
        if self._color.get_subscription_count():
            self._color.publish(to_image(self._space.colorize(segmentation.labels), header))
        if self._overlay.get_subscription_count():
            drawn = overlay(segmentation.frame.rgb, segmentation.labels, self._space, alpha)
            self._overlay.publish(to_image(drawn, header))

    def destroy(self) -> None:
        """Take the topics down."""
        pictures = (self._mask, self._confidence, self._stability, self._color, self._overlay)
        publishers = (*pictures, self._camera_info, self._labels, self._label_info)
        for publisher in publishers:
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _image(self, name: str) -> Publisher:
        return self._create(Image, name, MASK_QOS)

    def _create(self, kind: type, name: str, qos: QoSProfile) -> Publisher:
        return self._node.create_publisher(
            kind, f"{self._topic}/{name}", qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
