"""What happens to a segmented frame: it is published and its stability measured, while the next one is inferred."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from time import monotonic_ns, perf_counter

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from t2g_ros.inference.stability import StabilityMonitor
from t2g_ros.inference.stability_alarm import StabilityAlarm
from t2g_ros.ros.camera_info import fits
from t2g_ros.ros.faults import faults_counted
from t2g_ros.ros.health import CameraHealth
from t2g_ros.ros.parameters import Settings
from t2g_ros.ros.publishers import SegmentationPublishers
from t2g_ros.ros.worker import Worker
from t2g_ros.types import Segmentation


@dataclass(frozen=True)
class Parcel:
    """A segmented frame on its way out."""

    segmentation: Segmentation
    info: CameraInfo | None
    """The camera's calibration, if it told one."""
    settings: Settings
    stage_ms: dict[str, float]
    """Stages of the frame until now."""
    started_ns: int
    """Steady time when the engine took the frame."""
    ready: float
    """When the engine was done with it, `perf_counter` seconds."""


class Delivery:
    """Delivers one camera's masks, in order, on the output thread.

    Args:
        node: who publishes.
        worker: the output thread.
        publishers: the camera's outputs.
        health: is told of every frame that is out.
        report: called when a frame is out.
    """

    def __init__(
        self,
        node: Node,
        worker: Worker,
        publishers: SegmentationPublishers,
        health: CameraHealth,
        report: Callable[[], None],
    ) -> None:
        self._node = node
        self._worker = worker
        self._publishers = publishers
        self._health = health
        self._report = report
        self._stability = StabilityMonitor()
        self._alarm = StabilityAlarm()
        self._last: Future[None] | None = None

    def hand_over(self, parcel: Parcel) -> None:
        """Take a frame; waits until the one before is out, so that masks cannot pile up. Inference thread only."""
        if self._last is not None:
            wait([self._last])
        self._last = self._worker.submit(self._deliver, parcel)

    def _deliver(self, parcel: Parcel) -> None:
        with faults_counted(self._health, self._node):
            self._publish(parcel)
        self._health.ended(parcel.started_ns)
        self._report()

    def _publish(self, parcel: Parcel) -> None:
        segmentation, info = parcel.segmentation, parcel.info
        outputs, health = self._publishers, self._health
        outputs.publish_mask(segmentation, info if info and fits(info, segmentation.frame.size) else None)
        mask_out = perf_counter()
        with faults_counted(health, self._node, masked=True):
            self._publish_the_rest(parcel, mask_out)
        health.segmented += 1  # last, so that diagnostics do not count a frame of which they know nothing else

    def _publish_the_rest(self, parcel: Parcel, mask_out: float) -> None:
        segmentation, settings = parcel.segmentation, parcel.settings
        outputs, health = self._publishers, self._health
        stability = self._stability.update(segmentation)
        measured = perf_counter()
        outputs.publish_stability(segmentation, stability.map)
        outputs.publish_pictures(segmentation, settings.overlay_alpha)
        times_ms = {
            "publish": (mask_out - parcel.ready + perf_counter() - measured) * 1e3,
            "stability": (measured - mask_out) * 1e3,
        }
        health.segmentation, health.stability = segmentation, stability
        health.alarms = self._alarm.update(stability, segmentation.frame.stamp_ns, settings.stability_limits)
        health.finished(parcel.stage_ms | times_ms, monotonic_ns(), settings.max_allowed_processing_time_ms)
