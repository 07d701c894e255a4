"""Whose image is segmented next: that of the camera that has waited longest, with those that were taken when it was."""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock
from time import monotonic_ns

from t2g_ros.errors import EngineDown
from t2g_ros.inference.steps import encode_together
from t2g_ros.ros.stream import CameraStream, Turn
from t2g_ros.ros.worker import Worker
from t2g_ros.types import NS_PER_S

log = logging.getLogger(__name__)


class Turns:
    """Gives cameras whose image waits their turns on the inference thread, one after another.

    A camera has one place in the queue however many images it sends, so a fast one takes no turn from a slow one.
    Images that wait at the same time and whose stamps are close are encoded as one batch where the engine is faster so;
    nobody waits for an image that has not come.

    Args:
        worker: the inference thread.
    """

    def __init__(self, worker: Worker) -> None:
        self.begun_ns = 0
        """Steady time when the engine last took a frame of any camera."""
        self._worker = worker
        self._lock = Lock()
        self._waiting: deque[CameraStream] = deque()
        self._scheduled = False

    def queue(self, stream: CameraStream) -> None:
        """Give a camera whose mailbox was empty until now its place; from any thread."""
        with self._lock:
            if stream not in self._waiting:
                self._waiting.append(stream)
            self._schedule()

    def _schedule(self) -> None:
        # One job at a time, however many cameras wait: a batch needs one for all of them.
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._worker.submit(self._next)

    def _next(self) -> None:
        with self._lock:
            streams = self._pick()
            self._scheduled = False
            # Behind what other threads have asked for meanwhile, such as a reset.
            self._schedule()
        self.begun_ns = monotonic_ns()
        begun = [(stream, turn) for stream in streams if (turn := stream.begin())]
        if len(begun) > 1 and _encoded([turn for _, turn in begun]):
            for stream, _ in begun:
                stream.health.batched += 1
        for stream, turn in begun:
            stream.finish(turn)

    def _pick(self) -> list[CameraStream]:
        """Take whose turn it is out of the queue."""
        first = self._waiting.popleft()
        companions = [other for other in self._waiting if _are_close(first, other)]
        picked = [first, *companions[: first.batch_frames - 1]]
        self._waiting = deque(stream for stream in self._waiting if stream not in picked)
        return picked


def _are_close(one: CameraStream, other: CameraStream) -> bool:
    """Whether the waiting images of two cameras were taken at about the same time."""
    stamps_ns = one.waiting_stamp_ns, other.waiting_stamp_ns
    if stamps_ns[0] is None or stamps_ns[1] is None:
        return False
    return abs(stamps_ns[0] - stamps_ns[1]) <= one.settings.max_camera_time_diff_s * NS_PER_S


def _encoded(turns: list[Turn]) -> bool:
    """Whether these images could be encoded as a batch."""
    try:
        encode_together([turn.step for turn in turns])
        return True
    except EngineDown:  # the log has it from the engine, and each camera's status
        return False
    except Exception as error:  # of one camera's image, or for want of memory: alone the others may do
        log.warning("a batch of %d images could not be encoded, trying one by one: %s", len(turns), error)
        return False
