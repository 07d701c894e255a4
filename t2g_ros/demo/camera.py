"""The camera process: plays recorded frames over DDS at their own rate, as a driver publishes a live camera.

Run as `python -m t2g_ros.demo.camera --frames DIR --log frames.csv [--ros-args -r __ns:=/camera]`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from t2g_ros.commands.arguments import add_source_arguments, source_from
from t2g_ros.errors import T2GError
from t2g_ros.ros.images import header_of, to_image
from t2g_ros.sources import Source, SourceFrame
from t2g_ros.types import Frame

FRAME_ID = "camera_optical_frame"
AHEAD_BYTES = 512 << 20
"""Frames decoded before the first one is played: a camera costs the machine no decoding."""
SUBSCRIBER_TIMEOUT_S = 30.0
SETTLE_S = 0.5
"""Discovery is not symmetric: a subscriber known here may not know this publisher yet, and would miss a frame."""


class Camera(Node):
    """Publishes `image_raw` and `camera_info`, stamped with the wall clock at which each frame is due."""

    def __init__(self) -> None:
        super().__init__("camera")
        # As many as a driver keeps: a late subscriber misses frames, it does not get old ones.
        self._images = self.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)

    def wait_for_subscriber(self) -> None:
        """Return when somebody takes the images.

        Raises:
            TimeoutError: nobody did in time.
        """
        deadline = time.monotonic() + SUBSCRIBER_TIMEOUT_S
        while self._images.get_subscription_count() == 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._images.topic_name}: no subscriber within {SUBSCRIBER_TIMEOUT_S:.0f} s")
            time.sleep(0.05)
        time.sleep(SETTLE_S)

    def play(self, frames: Iterator[SourceFrame], log: Path) -> int:
        """Publish the frames in real time and write the stamp and name of each; return how many there were."""
        count = 0
        with log.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["stamp_ns", "name"])
            shift_ns: int | None = None
            for item in frames:
                if shift_ns is None:
                    shift_ns = time.time_ns() - item.frame.stamp_ns
                stamp_ns = item.frame.stamp_ns + shift_ns
                header = header_of(Frame(item.frame.rgb, stamp_ns, FRAME_ID))
                image = to_image(item.frame.rgb, header)
                time.sleep(max(0.0, (stamp_ns - time.time_ns()) / 1e9))
                self._images.publish(image)
                self._infos.publish(camera_info(image))
                table.writerow([stamp_ns, item.name])
                file.flush()
                count += 1
        return count


def camera_info(image: Image) -> CameraInfo:
    """Return a pinhole calibration, 53 degrees wide: recordings of this kind come without their own."""
    focal, cx, cy = float(image.width), image.width / 2, image.height / 2
    info = CameraInfo(header=image.header, height=image.height, width=image.width, distortion_model="plumb_bob")
    info.d = [0.0] * 5
    info.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def decoded_ahead(source: Source) -> Iterator[SourceFrame]:
    """Yield the source's frames, decoded by a thread that starts `AHEAD_BYTES` before the first is asked for."""
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        return
    queue: Queue[SourceFrame | BaseException | None] = Queue(max(2, AHEAD_BYTES // first.frame.rgb.nbytes))
    filled = Event()

    def decode() -> None:
        try:
            for item in frames:
                if queue.full():
                    filled.set()
                queue.put(item)
            queue.put(None)
        except BaseException as error:  # raised where the frames are used
            queue.put(error)
        filled.set()

    Thread(target=decode, daemon=True).start()
    filled.wait()
    yield first
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def main() -> int:
    """Play one source once, from when there is a subscriber."""
    parser = argparse.ArgumentParser(prog="camera", description=__doc__)
    add_source_arguments(parser)
    parser.add_argument("--log", type=Path, required=True, help="CSV file for the stamps and names of the frames")
    rclpy.init()
    args = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    try:
        frames = decoded_ahead(source_from(args))
        camera = Camera()
        camera.wait_for_subscriber()
        camera.play(frames, args.log)
        time.sleep(0.5)  # best effort: the last frame must have left before the process ends
    except (T2GError, TimeoutError) as error:
        print(f"camera: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
