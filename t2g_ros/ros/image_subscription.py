"""The subscription to a camera's images, and what its events tell about the publishers on the other side."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from t2g_ros.ros.health import CameraHealth
from t2g_ros.ros.qos import fitting, latest_only, mismatch, node_of
from t2g_ros.ros.senders import Senders

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks  # type: ignore[no-redef]


class ImageSubscription:
    """Hands a camera's images over, and says when they are no longer of the same driver.

    Args:
        node: subscribes.
        kind: Image or CompressedImage.
        topic: to subscribe to, before remaps.
        health: of the camera; is told of lost images and of publishers that do not fit. Its `topic` is after remaps.
        on_image: takes each image.
        reset: empties the memory, for a cause.
        report: called when something happened that may change the camera's state.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Image] | type[CompressedImage],
        topic: str,
        health: CameraHealth,
        on_image: Callable[[Any], None],
        reset: Callable[[str], None],
        report: Callable[[], None],
    ) -> None:
        self._node = node
        self._health = health
        self._on_image = on_image
        self._reset = reset
        self._report = report
        self._senders = Senders()
        self._was_matched = self._was_mismatched = False
        self._subscription = node.create_subscription(
            kind,
            topic,
            # Humble's hands over no message info; the others' go by the callback's signature, and by no hint.
            self._on_message if hasattr(Subscription, "CallbackType") else self._on_bare_message,  # type: ignore[arg-type]
            latest_only(),
            event_callbacks=self._events(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    @property
    def publishers(self) -> int:
        """How many publishers this is connected to."""
        if hasattr(self._subscription, "get_publisher_count"):
            try:
                return self._subscription.get_publisher_count()
            except InvalidHandle:  # the other thread has just unsubscribed
                return 0
        # Humble knows only who is there.
        return fitting(self._node, self._health.topic, self._subscription.qos_profile)

    def look(self) -> None:
        """Tell the camera's health what is wrong with the publishers now: what an event told may be over."""
        health, topic = self._health, self._health.topic
        told = health.incompatible_qos
        health.incompatible_qos = None
        if self._was_mismatched:
            health.incompatible_qos = mismatch(self._node, topic, self._subscription.qos_profile)
        if health.incompatible_qos not in (None, told):
            self._node.get_logger().error(health.incompatible_qos)
        health.interleaved = None
        if self._senders.interleaved(monotonic()):
            nodes = ", ".join(sorted(map(node_of, self._node.get_publishers_info_by_topic(topic))))
            health.interleaved = (
                f"images of {self.publishers} publishers come mixed on {topic}, from {nodes}; each is segmented "
                "without memory; stop all publishers but one, or remap their topics"
            )

    def _on_message(self, msg: Image | CompressedImage, info: Any) -> None:
        self._was_mismatched = False  # this camera's fits
        if self._senders.sent(info.get("publication_sequence_number"), self.publishers, monotonic()):
            self._reset("two_publishers")
        self._on_image(msg)

    def _on_bare_message(self, msg: Image | CompressedImage) -> None:
        self._on_message(msg, {})

    def _events(self) -> SubscriptionEventCallbacks:
        callbacks: dict[str, Any] = {"incompatible_qos": self._on_incompatible_qos, "message_lost": self._on_lost}
        try:
            return SubscriptionEventCallbacks(**callbacks, matched=self._on_matched)
        except TypeError:  # Humble has no such event
            return SubscriptionEventCallbacks(**callbacks)

    def _on_incompatible_qos(self, info: object) -> None:
        self._was_mismatched = True
        self._report()

    def _on_lost(self, info: object) -> None:
        # The total begins anew with every subscription.
        self._health.lose(info.total_count_change)  # type: ignore[attr-defined]

    def _on_matched(self, info: object) -> None:
        # A driver that crashed stays matched until its lease ends, so the newcomer tells, and not the count.
        if info.total_count_change > 0:  # type: ignore[attr-defined]
            self._senders.joined()
            if self._was_matched:
                self._reset("camera_restart")
            self._was_matched = True
