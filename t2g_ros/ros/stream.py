"""One camera's stream on the inference thread: from the image in the mailbox to a mask that is handed over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns, perf_counter

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.inference.steps import Step
from t2g_ros.ros.camera_info import Calibration
from t2g_ros.ros.deadline import DeadlineMode
from t2g_ros.ros.delivery import Delivery, Parcel
from t2g_ros.ros.faults import faults_counted
from t2g_ros.ros.health import CameraHealth
from t2g_ros.ros.letters import Letter
from t2g_ros.ros.mailbox import Mailbox
from t2g_ros.ros.parameters import Settings
from t2g_ros.types import Frame


@dataclass(frozen=True)
class Turn:
    """An image that has been taken out of the mailbox."""

    step: Step
    arrived: float
    """When it came, `perf_counter` seconds."""
    convert_ms: float
    started_ns: int
    """Steady time when it was taken."""


class CameraStream:
    """Segments one camera's images. Everything but the fields and the queue of resets is the inference thread's.

    Args:
        node: logs.
        segmenter: of the camera.
        deadline: switches the segmenter; None without that mode.
        delivery: takes the masks.
        health: is told of every image.
        settings: the parameters.
        report: called when an image has come to its end.
    """

    def __init__(
        self,
        node: Node,
        segmenter: StreamSegmenter,
        deadline: DeadlineMode | None,
        delivery: Delivery,
        health: CameraHealth,
        settings: Settings,
        report: Callable[[], None],
    ) -> None:
        self.mailbox: Mailbox[Letter] = Mailbox()
        self.settings = settings
        self.calibration = Calibration()
        self.resets: deque[str] = deque()
        """Causes for which the memory is to be emptied before the next image."""
        self._node = node
        self._segmenter = segmenter
        self._deadline = deadline
        self._delivery = delivery
        self.health = health
        self._report = report
        self._encoding: str | None = None

    @property
    def batch_frames(self) -> int:
        """For how many images at once a batch pays."""
        return self._segmenter.runtime.batch_frames

    @property
    def waiting_stamp_ns(self) -> int | None:
        """Stamp of the image in the mailbox, None if it is empty."""
        letter = self.mailbox.peek()
        return None if letter is None else letter.stamp_ns

    def apply(self, settings: Settings) -> None:
        """Take over what may change while the camera runs."""
        self._segmenter.max_gap_s = settings.max_gap_s
        self._segmenter.output_resolution = settings.output_resolution
        self._segmenter.min_confidence = settings.min_confidence

    def apply_resets(self) -> None:
        """Empty the memory if that has been asked for."""
        while self.resets:
            self._segmenter.reset(self.resets.popleft())

    def begin(self) -> Turn | None:
        """Take the image that waits, until it has to be encoded; None if there is none that can be segmented."""
        letter = self.mailbox.take()
        if letter is None:
            return None
        if not self.health.active:
            self.health.skipped["deactivated"] += 1
            return None
        # After taking the image: it may have arrived after a reset that is still queued behind this job.
        self.apply_resets()
        started_ns = monotonic_ns()
        self.health.started(started_ns)
        with faults_counted(self.health, self._node):
            frame = letter.frame()
            self._note_encoding(letter.msg, frame)
            return Turn(self._segmenter.begin(frame), letter.arrived, letter.convert_ms, started_ns)
        self._end(started_ns)
        return None

    def finish(self, turn: Turn) -> None:
        """Segment the image, and hand the mask over if there is one yet."""
        handed_over = False
        with faults_counted(self.health, self._node):
            handed_over = self._segment(turn)
        if not handed_over:
            self._end(turn.started_ns)

    def _segment(self, turn: Turn) -> bool:
        segmentation = self._segmenter.finish(turn.step)
        self.health.problem = None
        if segmentation is None:
            return False
        ready = perf_counter()
        stages = {"convert": turn.convert_ms, **segmentation.stage_ms}
        # For its turn, and in a batch for the other cameras' parts of it.
        stages["wait"] = (ready - turn.arrived) * 1e3 - sum(stages.values())
        info = self.calibration.info
        self._delivery.hand_over(Parcel(segmentation, info, self.settings, stages, turn.started_ns, ready))
        if self._deadline:
            with faults_counted(self.health, self._node, masked=True):
                self._deadline.observe(segmentation.frame.stamp_ns, stages)
        return True

    def _end(self, started_ns: int) -> None:
        self.health.ended(started_ns)
        self._report()

    def _note_encoding(self, msg: Image | CompressedImage, frame: Frame) -> None:
        encoding = msg.format if isinstance(msg, CompressedImage) else msg.encoding
        if self._encoding not in (None, encoding):
            self._segmenter.reset("encoding_change")
        self._encoding = self.health.encoding = encoding
        self.health.size = frame.size
