"""One camera: its subscriptions, mailbox, memory, stability and outputs. Knows nothing of any other camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSPresetProfiles, QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.ros.camera_info import problem_with
from t2g_ros.ros.deadline import DeadlineMode, Ladder
from t2g_ros.ros.delivery import Delivery, Parcel
from t2g_ros.ros.faults import LOG_EVERY_S, faults_counted
from t2g_ros.ros.health import CameraHealth, Verdict
from t2g_ros.ros.images import to_frame
from t2g_ros.ros.mailbox import Mailbox
from t2g_ros.ros.parameters import Settings
from t2g_ros.ros.publishers import SegmentationPublishers
from t2g_ros.ros.worker import Worker
from t2g_ros.runtimes import Runtime
from t2g_ros.types import NS_PER_S, Frame


def _latest_only() -> QoSProfile:
    """Sensor-data QoS that holds one image: an older one is of no use."""
    sensor_data = QoSPresetProfiles.SENSOR_DATA.value
    return QoSProfile(
        history=sensor_data.history, depth=1, reliability=sensor_data.reliability, durability=sensor_data.durability
    )


class Camera:
    """Segments one camera's images.

    The subscription only leaves the image in the mailbox; the inference thread segments it; the output thread publishes
    the masks and measures their stability while the next image is segmented.

    Args:
        node: creates the topics.
        worker: the inference thread.
        output_worker: the output thread.
        runtime: the engine whose clip buffers this camera uses alone.
        settings: the parameters.
        ladder: engines for the deadline mode, the first being `runtime`; None without it.
        report: called on any thread when something happened that may change the camera's state.
        prefix: put before the topic names, empty or ending in a slash.

    Raises:
        ValueError: a setting does not fit the model.
    """

    def __init__(
        self,
        node: LifecycleNode,
        worker: Worker,
        output_worker: Worker,
        runtime: Runtime,
        settings: Settings,
        ladder: Ladder | None,
        report: Callable[[], None],
        prefix: str = "",
    ) -> None:
        self.settings = settings
        self.segmenter = StreamSegmenter(
            runtime,
            clip_span_s=settings.clip_span_s,
            max_gap_s=settings.max_gap_s,
            lag=settings.lag_frames,
            output_resolution=settings.output_resolution,
            min_confidence=settings.min_confidence,
        )
        target_ms, logger = settings.target_latency_ms, node.get_logger()
        self.deadline = DeadlineMode(ladder, self.segmenter, target_ms, logger) if ladder else None
        self.mailbox: Mailbox[tuple[Image | CompressedImage, float]] = Mailbox()
        self._node = node
        self._worker = worker
        self._report = report
        self._info_topic = node.resolve_topic_name(f"{prefix}camera_info")
        self._outputs = SegmentationPublishers(node, prefix, runtime.labels)
        self._info: CameraInfo | None = None
        self._subscriptions: list[Subscription] = []
        self._encoding: str | None = None
        self._was_matched = False
        self._newest_ns: int | None = None
        self._resets: deque[str] = deque()
        raw = settings.image_transport == "raw"
        self._image_type = Image if raw else CompressedImage
        # As in image_transport, a remap of the base topic moves its compressed form too.
        base = node.resolve_topic_name(f"{prefix}image_raw")
        self.health = CameraHealth(topic=node.resolve_topic_name(base if raw else f"{base}/compressed"))
        self._delivery = Delivery(node, output_worker, self._outputs, self.health, report)

    # -- on the executor's thread ----------------------------------------------------------------------------

    def start(self) -> None:
        """Subscribe, and tell what the labels mean."""
        self._outputs.publish_labels()
        health = self.health
        if health.segmented:
            self.reset("reactivation")
        health.last_received_ns = health.incompatible_qos = health.problem = None
        health.paused = self._was_matched = False
        health.forget_lateness()
        health.active = True
        overridable = QoSOverridingOptions.with_default_policies()
        create = self._node.create_subscription
        self._subscriptions = [
            create(
                self._image_type,
                self.health.topic,
                self._on_image,
                _latest_only(),
                event_callbacks=self._events(),
                qos_overriding_options=overridable,
            ),
            create(
                CameraInfo,
                self._info_topic,
                self._on_info,
                _latest_only(),
                qos_overriding_options=overridable,
            ),
        ]

    def stop(self) -> None:
        """Unsubscribe. A frame on the other threads may still finish; wait for them, in their order, to be sure."""
        self.health.active = False
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def destroy(self) -> None:
        """Take the outputs down."""
        self._outputs.destroy()

    def apply(self, settings: Settings) -> None:
        """Take over what may change while the camera runs."""
        self.settings = settings
        self._worker.submit(self._apply, settings)

    def reset(self, cause: str) -> None:
        """Empty the memory before the next image, also if the engine has its job already."""
        self._resets.append(cause)
        self._worker.submit(self._apply_resets)

    def clock_jumped(self) -> None:
        """Empty the memory, unless the newest image is of the time jumped to.

        A player's first images may come before its first tick, and the stamps tell the jump themselves.
        """
        now_ns = self._node.get_clock().now().nanoseconds
        newest_ns, max_gap_ns = self._newest_ns, self.settings.max_gap_s * NS_PER_S
        if newest_ns is not None and not 0 <= now_ns - newest_ns <= max_gap_ns:
            self.reset("clock_jump")

    def enable(self, enabled: bool) -> None:
        """Stop or resume segmentation; the outputs stay advertised."""
        if enabled and not self.health.enabled:
            self._resume()
        self.health.enabled = enabled
        self._report()

    def verdict(self) -> Verdict:
        """How the camera is doing now."""
        now_ns = self._node.get_clock().now().nanoseconds
        verdict = self.health.verdict(now_ns, self.settings, self.publishers)
        return self.deadline.verdict(verdict) if self.deadline else verdict

    @property
    def memory_bytes(self) -> int:
        """Bytes of the clip buffers of all engines that this camera uses."""
        return self.deadline.memory_bytes if self.deadline else self.segmenter.memory_bytes

    @property
    def publishers(self) -> int:
        """How many publishers of the image topic this camera is connected to."""
        if not self._subscriptions:
            return 0
        image = self._subscriptions[0]
        if hasattr(image, "get_publisher_count"):
            from rclpy.exceptions import InvalidHandle  # Humble has it elsewhere

            try:
                return image.get_publisher_count()
            except InvalidHandle:  # the other thread has just unsubscribed
                return 0
        return self._node.count_publishers(self.health.topic)  # Humble knows only who is there

    @property
    def subscribers(self) -> int:
        """How many subscribers the outputs have that must be computed."""
        return self._outputs.subscribers()

    def _on_image(self, msg: Image | CompressedImage) -> None:
        health = self.health
        health.received += 1
        self._newest_ns = msg.header.stamp.sec * NS_PER_S + msg.header.stamp.nanosec
        health.last_received_ns = self._node.get_clock().now().nanoseconds
        health.incompatible_qos = None  # this camera's fits
        if not health.enabled:
            health.skipped["disabled"] += 1
            return
        wanted = self._outputs.subscribers() > 0
        if health.paused and wanted:
            self._resume()
        health.paused = not wanted
        if wanted and self.mailbox.put((msg, perf_counter())):
            self._worker.submit(self._segment_next)
        if not wanted:
            health.skipped["paused"] += 1
            self._report()

    def _resume(self) -> None:
        """What was remembered before the pause is old."""
        self.health.forget_lateness()
        if self.health.segmented:
            self.reset("resume")

    def _on_info(self, msg: CameraInfo) -> None:
        problem = problem_with(msg)
        self._info = None if problem else msg
        self.health.calibration = problem and f"{self._info_topic}: {problem}; masks go without a camera_info"
        if problem:
            self._node.get_logger().warning(self.health.calibration, throttle_duration_sec=LOG_EVERY_S)

    def _events(self) -> SubscriptionEventCallbacks:
        callbacks: dict[str, Any] = {"incompatible_qos": self._on_incompatible_qos, "message_lost": self._on_lost}
        try:
            return SubscriptionEventCallbacks(**callbacks, matched=self._on_matched)
        except TypeError:  # Humble has no such event
            return SubscriptionEventCallbacks(**callbacks)

    def _on_incompatible_qos(self, info: object) -> None:
        policy = qos_policy_name_from_kind(info.last_policy_kind)  # type: ignore[attr-defined]
        self.health.incompatible_qos = (
            f"a publisher on {self.health.topic} offers {policy.lower()} that this subscription cannot take; "
            f"set qos_overrides.{self.health.topic}.subscription.* to match it"
        )
        self._node.get_logger().error(self.health.incompatible_qos)
        self._report()

    def _on_lost(self, info: object) -> None:
        self.health.lost = info.total_count  # type: ignore[attr-defined]

    def _on_matched(self, info: object) -> None:
        # A driver that crashed stays matched until its lease ends, so the newcomer tells, and not the count.
        if info.total_count_change > 0:  # type: ignore[attr-defined]
            if self._was_matched:
                self.reset("camera_restart")
            self._was_matched = True

    # -- on the inference thread -----------------------------------------------------------------------------

    def _apply(self, settings: Settings) -> None:
        self.segmenter.max_gap_s = settings.max_gap_s
        self.segmenter.output_resolution = settings.output_resolution
        self.segmenter.min_confidence = settings.min_confidence

    def _apply_resets(self) -> None:
        while self._resets:
            self.segmenter.reset(self._resets.popleft())

    def _segment_next(self) -> None:
        letter = self.mailbox.take()
        if letter is None:
            return
        if not self.health.active:
            self.health.skipped["deactivated"] += 1
            return
        # After taking the image: it may have arrived after a reset that is still queued behind this job.
        self._apply_resets()
        started_ns = self._node.get_clock().now().nanoseconds
        self.health.started(started_ns)
        handed_over = False
        with faults_counted(self.health, self._node):
            handed_over = self._segment(*letter, started_ns)
        if not handed_over:
            self.health.ended(started_ns)
            self._report()

    def _segment(self, msg: Image | CompressedImage, arrived: float, started_ns: int) -> bool:
        """Segment an image and hand the mask over; False if there is none yet."""
        start = perf_counter()
        frame = to_frame(msg, self.health.topic)
        self._note_encoding(msg, frame)
        stages = {"wait": (start - arrived) * 1e3, "convert": (perf_counter() - start) * 1e3}
        segmentation = self.segmenter.step(frame)
        self.health.problem = None
        if segmentation is None:
            return False
        stages |= segmentation.stage_ms
        self._delivery.hand_over(Parcel(segmentation, self._info, self.settings, stages, started_ns, perf_counter()))
        if self.deadline:
            with faults_counted(self.health, self._node, masked=True):
                self.deadline.observe(segmentation.frame.stamp_ns, stages)
        return True

    def _note_encoding(self, msg: Image | CompressedImage, frame: Frame) -> None:
        encoding = msg.format if isinstance(msg, CompressedImage) else msg.encoding
        if self._encoding not in (None, encoding):
            self.segmenter.reset("encoding_change")
        self._encoding = self.health.encoding = encoding
        self.health.size = frame.size
