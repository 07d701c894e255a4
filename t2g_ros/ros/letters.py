"""An image on its way from the subscription to the inference thread, and how it is converted meanwhile."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from time import perf_counter

from sensor_msgs.msg import CompressedImage, Image

from t2g_ros.cores import cores
from t2g_ros.ros.images import to_frame
from t2g_ros.ros.mailbox import Mailbox
from t2g_ros.ros.worker import Worker
from t2g_ros.runtimes import Runtime
from t2g_ros.types import NS_PER_S, Frame


class Letter:
    """An image message, converted once, by the first thread that gets to it.

    Args:
        msg: the message.
        topic: named in errors.
    """

    def __init__(self, msg: Image | CompressedImage, topic: str) -> None:
        self.msg = msg
        self.arrived = perf_counter()
        """When it came, `perf_counter` seconds."""
        self.convert_ms = 0.0
        """What the conversion took, on whichever thread."""
        self._topic = topic
        self._lock = Lock()
        self._frame: Frame | None = None

    @property
    def stamp_ns(self) -> int:
        """The message's stamp."""
        return self.msg.header.stamp.sec * NS_PER_S + self.msg.header.stamp.nanosec

    def frame(self) -> Frame:
        """Return the image as a frame; waits for the other thread if that is converting it.

        Raises:
            InputError: as `to_frame`, each time.
        """
        with self._lock:
            if self._frame is None:
                start = perf_counter()
                self._frame = to_frame(self.msg, self._topic)
                self.convert_ms = (perf_counter() - start) * 1e3
            return self._frame


def leaves_cores_free(runtime: Runtime, threads: int) -> bool:
    """Whether an engine that was asked to use so many CPU threads (0: all) leaves a core on which to convert images."""
    return runtime.gpu_memory_bytes is not None or 0 < threads < cores()


class EarlyConversion:
    """Converts the image that waits in a camera's mailbox on a thread of its own, while other images are segmented.

    Nobody waits longer for it: when the image's turn comes, it is converted, or half so, or the inference thread does
    it. But the conversion of an image that is displaced was for nothing, so this is for engines that leave cores free.

    Args:
        mailbox: of the camera.
    """

    def __init__(self, mailbox: Mailbox[Letter]) -> None:
        self._mailbox = mailbox
        self._worker = Worker("conversion")
        self._is_woken = False

    def wake(self) -> None:
        """Tell that an image has been put into the mailbox; always from the same thread."""
        # No more than one job waits, since images may come faster than they can be converted.
        if not self._is_woken:
            self._is_woken = True
            self._worker.submit(self._convert)

    def stop(self, timeout_s: float) -> bool:
        """Wait for the conversion that runs, and end; return whether the thread has ended."""
        return self._worker.stop(timeout_s)

    def _convert(self) -> None:
        self._is_woken = False  # before it looks: what comes after that has a job of its own
        letter = self._mailbox.peek()
        with suppress(Exception):  # the inference thread, if it takes this one, will get the error itself and tell
            if letter:
                letter.frame()
