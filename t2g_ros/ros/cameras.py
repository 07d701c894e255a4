"""One camera: its subscriptions, state and outputs, and its stream. Knows nothing of any other camera."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.ros.deadline import DeadlineMode, Ladder
from t2g_ros.ros.delivery import Delivery
from t2g_ros.ros.health import CameraHealth, State, Verdict
from t2g_ros.ros.image_subscription import ImageSubscription
from t2g_ros.ros.letters import EarlyConversion, Letter, leaves_cores_free
from t2g_ros.ros.parameters import Settings
from t2g_ros.ros.publishers import SegmentationPublishers
from t2g_ros.ros.qos import latest_only
from t2g_ros.ros.rate_limit import RateLimit
from t2g_ros.ros.stream import CameraStream
from t2g_ros.ros.turns import Turns
from t2g_ros.ros.worker import Worker
from t2g_ros.runtimes import Runtime
from t2g_ros.types import NS_PER_S

CONVERSION_S = 1.0
"""How long the conversion of an image may hold up the end of a camera; nothing depends on what then still runs."""


class Camera:
    """Segments one camera's images. All of this is on the executor's thread.

    The subscription only leaves the image in the mailbox; the inference thread segments it, and if the engine leaves
    cores free, a thread of this camera's own has converted it by then; the output thread publishes the masks and
    measures their stability while the next image is segmented.

    Args:
        node: creates the topics.
        worker: the inference thread.
        turns: in which the cameras' images are segmented there.
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
        turns: Turns,
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
        self._node = node
        self._worker = worker
        self._turns = turns
        self._report = report
        self._info_name = f"{prefix}camera_info"  # before remaps, which creating a subscription applies
        self._info_topic = node.resolve_topic_name(self._info_name)
        self._outputs = SegmentationPublishers(node, prefix, runtime.labels)
        self._outputs.apply(settings)
        self._images: ImageSubscription | None = None
        self._infos: Subscription | None = None
        self._rate_limit = RateLimit()
        self._newest_ns: int | None = None
        self._logged_calibration: str | None = None
        raw = settings.image_transport == "raw"
        self._image_type = Image if raw else CompressedImage
        # As in image_transport, a remap of the base topic moves its compressed form too.
        base = f"{prefix}image_raw"
        self._image_name = base if raw else f"{node.resolve_topic_name(base)}/compressed"
        self.health = CameraHealth(topic=node.resolve_topic_name(self._image_name))
        delivery = Delivery(node, output_worker, self._outputs, self.health, report)
        self.stream = CameraStream(node, self.segmenter, self.deadline, delivery, self.health, settings, report)
        early = leaves_cores_free(runtime, settings.threads)
        self._conversion = EarlyConversion(self.stream.mailbox) if early else None

    def start(self) -> None:
        """Subscribe, and tell what the labels mean."""
        self._outputs.publish_labels()
        health = self.health
        if self._has_memories:
            self.reset("reactivation")
        health.last_received_ns = health.problem = None
        self._forget_driver()
        health.paused = False
        health.forget_lateness()
        health.active = True
        self._images = ImageSubscription(
            self._node, self._image_type, self._image_name, health, self._on_image, self.reset, self._report
        )
        self._infos = self._node.create_subscription(
            CameraInfo,
            self._info_name,
            self._on_info,
            latest_only(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def stop(self) -> None:
        """Unsubscribe. A frame on the other threads may still finish; wait for them, in their order, to be sure."""
        self.health.active = False
        images, self._images = self._images, None
        if images:
            images.destroy()
        if self._infos:
            self._node.destroy_subscription(self._infos)
            self._infos = None

    def end_thread(self, timeout_s: float) -> bool:
        """End the thread that is this camera's own, if it has one; return whether it ended in time."""
        return self._conversion is None or self._conversion.stop(timeout_s)

    def destroy(self) -> None:
        """Take the outputs down."""
        self.end_thread(CONVERSION_S)
        self._outputs.destroy()

    def apply(self, settings: Settings) -> None:
        """Take over what may change while the camera runs."""
        self.settings = self.stream.settings = settings
        self._outputs.apply(settings)
        self._worker.submit(self.stream.apply, settings)

    def reset(self, cause: str) -> None:
        """Empty the memory before the next image, also if the engine has its job already."""
        if cause == "camera_restart":
            self._forget_driver()
        self.stream.resets.append(cause)
        self._worker.submit(self.stream.apply_resets)

    def clock_jumped(self) -> None:
        """Empty the memory, unless the newest image is of the time jumped to.

        A player's first images may come before its first tick, and the stamps tell the jump themselves.
        """
        now_ns = self._node.get_clock().now().nanoseconds
        if self.health.last_received_ns is not None:
            self.health.last_received_ns = now_ns  # a silence is counted anew: what was jumped over was none
        newest_ns, max_gap_ns = self._newest_ns, self.settings.max_gap_s * NS_PER_S
        if newest_ns is not None and not 0 <= now_ns - newest_ns <= max_gap_ns:
            self.reset("clock_jump")

    def enable(self, enabled: bool) -> None:
        """Stop or resume segmentation; the outputs stay advertised."""
        if enabled and not self.health.enabled:
            self._resume()
        self.health.enabled = enabled
        self._report()

    def leave(self, msg: Image | CompressedImage) -> None:
        """Leave an image in the mailbox until it is its turn."""
        if self.stream.mailbox.put(Letter(msg, self.health.topic)):
            self._turns.queue(self.stream)
        if self._conversion:
            self._conversion.wake()

    def verdict(self) -> Verdict:
        """How the camera is doing now."""
        now_ns = self._node.get_clock().now().nanoseconds
        images = self._images
        if images:
            images.look()
            self._judge_calibration()
        since_ns = self.stream.mailbox.since_ns
        self.health.waiting_since_ns = None if since_ns is None else max(since_ns, self._turns.begun_ns)
        verdict = self.health.verdict(now_ns, monotonic_ns(), self.settings, self.publishers)
        return self.deadline.verdict(verdict) if self.deadline else verdict

    @property
    def memory_bytes(self) -> int:
        """Bytes of the clip buffers of all engines that this camera uses."""
        return self.deadline.memory_bytes if self.deadline else self.segmenter.memory_bytes

    @property
    def publishers(self) -> int:
        """How many publishers of the image topic this camera is connected to."""
        images = self._images
        return images.publishers if images else 0

    @property
    def subscribers(self) -> int:
        """How many subscribers the outputs have that must be computed."""
        return self._outputs.subscribers()

    def _on_image(self, msg: Image | CompressedImage) -> None:
        health = self.health
        health.received += 1
        stamp_ns = self._newest_ns = msg.header.stamp.sec * NS_PER_S + msg.header.stamp.nanosec
        health.last_received_ns = self._node.get_clock().now().nanoseconds
        if not health.enabled:
            health.skipped["disabled"] += 1
            return
        wanted = self._outputs.subscribers() > 0
        if health.paused and wanted:
            self._resume()
        health.paused = not wanted
        if wanted and not self._rate_limit.admits(stamp_ns, self.settings.max_rate_hz):
            health.skipped["rate_limit"] += 1
            return
        if wanted:
            self.leave(msg)
        else:
            health.skipped["paused"] += 1
            self._report()

    def _resume(self) -> None:
        """What was remembered before the pause is old."""
        self.health.forget_lateness()
        if self._has_memories:
            self.reset("resume")

    @property
    def _has_memories(self) -> bool:
        """Whether a frame may be in the memory, with its mask out or with a lag that is not full."""
        return bool(self.health.segmented or self.segmenter.waiting)

    def _on_info(self, msg: CameraInfo) -> None:
        self.stream.calibration.take(msg)
        self._judge_calibration()

    def _forget_driver(self) -> None:
        """What one driver told of its camera is not of the next one's."""
        self.stream.calibration.forget()
        self.health.size = None

    def _judge_calibration(self) -> None:
        """Say what is wrong with the calibration, whichever of it and the first image came first."""
        health = self.health
        if health.paused or not health.enabled:
            return  # of what size images are by now is not known
        problem = self.stream.calibration.problem(health.size)
        text = f"{self._info_topic}: {problem}; masks go without a camera_info" if problem else None
        health.calibration = text
        if text is None:
            self._logged_calibration = None
        elif text != self._logged_calibration and health.is_due(State.BAD_CALIBRATION):
            self._logged_calibration = text
            self._node.get_logger().warning(text)
