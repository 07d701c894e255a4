"""The camera of the soak: plays images at a rate, with faults by seed, and writes down all that it sends.

Run by soak.py as `python benchmarks/soak_camera.py --seed S --log FILE --ros-args -r __ns:=/camera`, until SIGINT.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import rclpy
from measure import image_size
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from t2g_ros.demo.camera import camera_info
from t2g_ros.ros.images import header_of, to_image
from t2g_ros.share import share_dir
from t2g_ros.sources import open_source
from t2g_ros.types import NS_PER_S, Frame

FAULT_EVERY = 8
"""Images from one fault to the next, in the mean."""
FAST = 10
"""Times the rate, in a burst."""
FRAMES = 8


class Sent(NamedTuple):
    """An image as it went out."""

    stamp_ns: int
    frame_id: str
    """Another for every image, so that a mask tells whose it is."""
    height: int
    width: int
    sent_ns: int
    """Wall clock."""
    fault: str
    """Empty where there was none."""
    masked: bool
    """Whether it may get a mask."""


def read_log(file: Path) -> list[Sent]:
    """What a camera wrote down, nothing if it ended before; a last line that a kill cut off is left out."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        rows = [row for row in csv.reader(lines) if len(row) == len(Sent._fields) and row[-1] in ("0", "1")]
    return [
        Sent(int(stamp), frame_id, int(height), int(width), int(at), fault, masked == "1")
        for stamp, frame_id, height, width, at, fault, masked in rows
    ]


def wrong_encoding(msg: Image, dice: random.Random) -> None:
    msg.encoding = dice.choice(["ultraviolet8", "8UC3", "32FC1", "", "rgb8 "])


def truncated_data(msg: Image, dice: random.Random) -> None:
    msg.data = msg.data[: dice.randrange(len(msg.data))]


def wrong_step(msg: Image, dice: random.Random) -> None:
    msg.step = dice.choice([0, 1, msg.step - 1, msg.step + 1, 2**32 - 1])


def empty(msg: Image, dice: random.Random) -> None:
    msg.height = msg.width = msg.step = 0
    msg.data = b""


def huge(msg: Image, dice: random.Random) -> None:
    msg.height, msg.width, msg.step = 60_000, 60_000, 180_000


def impossible_stamp(msg: Any, dice: random.Random) -> None:
    msg.header.stamp.nanosec = 4 * NS_PER_S


def truncated_file(msg: CompressedImage, dice: random.Random) -> None:
    msg.data = msg.data[: dice.randrange(len(msg.data) - 2)]


def bomb(msg: CompressedImage, dice: random.Random) -> None:
    side = (60_000).to_bytes(4, "big")
    png = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    msg.data = png[:16] + side + side + png[24:]


def no_file(msg: CompressedImage, dice: random.Random) -> None:
    msg.data = dice.randbytes(dice.randrange(1, 2000))


def garbage_in_the_file(msg: CompressedImage, dice: random.Random) -> None:
    for _ in range(20):
        msg.data[dice.randrange(2, len(msg.data) - 2)] = dice.randrange(256)


REFUSED: dict[type, dict[str, Callable[[Any, random.Random], None]]] = {
    Image: {f.__name__: f for f in (wrong_encoding, truncated_data, wrong_step, empty, huge, impossible_stamp)},
    CompressedImage: {f.__name__: f for f in (truncated_file, bomb, no_file, impossible_stamp)},
}
"""By the message's type, what makes of an image one that can have no mask."""
TIMES = ("stamp_back", "stamp_forward", "stamp_zero", "duplicate_stamp", "pause", "burst")
CONTENTS = ("other_size", "one_pixel", "constant", "noise", "no_calibration")


class SoakCamera(Node):
    """Publishes `image_raw` or its compressed form, and `camera_info`.

    Args:
        args: the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__("soak_camera")
        self._dice = random.Random(args.seed)
        self._period_s = 1 / args.rate
        drive = islice(open_source(frames=share_dir() / "test" / "data" / "drive"), FRAMES)
        self._frames = [cv2.resize(item.frame.rgb, args.size[::-1]).astype(np.uint8) for item in drive]
        self._kind = CompressedImage if args.compressed else Image
        topic = "image_raw/compressed" if args.compressed else "image_raw"
        self._images = self.create_publisher(self._kind, topic, qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self._file = args.log.open("w", newline="", buffering=1)
        self._log = csv.writer(self._file)
        self._run = f"{args.seed}"
        self._shift_ns = 0
        self._last_ns = 0
        self._count = 0
        self._burst = 0

    def play(self) -> None:
        """Publish until the context is shut down."""
        due_s = time.monotonic()
        while self.context.ok():
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._burst = max(0, self._burst - 1)
            due_s = max(due_s, time.monotonic() - self._period_s) + self._period_s / (FAST if self._burst else 1)
            fault = ""
            if self._dice.random() < 1 / FAULT_EVERY:
                choices = [*REFUSED[self._kind], *TIMES, *CONTENTS]
                if self._kind is CompressedImage:
                    choices.append(garbage_in_the_file.__name__)
                fault = self._dice.choice(choices)
            if fault == "pause":
                time.sleep(self._dice.uniform(0.5, 3.0))
            elif fault == "burst" and not self._burst:  # else one would lead to two, and so on without an end
                self._burst = round(FAST / self._period_s)  # a second
            self._send(fault)

    def _send(self, fault: str) -> None:
        rgb = self._rgb(fault)
        msg = self._message(rgb, self._stamp_ns(fault))
        spoil = REFUSED[self._kind].get(fault)
        if spoil:
            spoil(msg, self._dice)
        elif fault == garbage_in_the_file.__name__:
            garbage_in_the_file(msg, self._dice)
        stamp = msg.header.stamp
        sent = (stamp.sec * NS_PER_S + stamp.nanosec, msg.header.frame_id, *rgb.shape[:2], time.time_ns())
        self._log.writerow([*sent, fault, int(spoil is None)])
        self._images.publish(msg)
        info = camera_info(to_image(rgb[:, :, :1], msg.header))
        if fault == "no_calibration":
            info.k = [math.nan] * 9
        self._infos.publish(info)

    def _rgb(self, fault: str) -> np.ndarray:
        self._count += 1
        rgb = self._frames[self._count % FRAMES]
        if fault == "other_size":
            height, width = self._dice.choice([(97, 131), (240, 320), (1080, 1920)])
            return cv2.resize(rgb, (width, height)).astype(np.uint8)
        if fault == "one_pixel":
            return rgb[:1, :1].copy()
        if fault == "constant":
            return np.full_like(rgb, self._dice.randrange(256))
        if fault == "noise":
            return np.frombuffer(self._dice.randbytes(rgb.size), np.uint8).reshape(rgb.shape)
        return rgb

    def _stamp_ns(self, fault: str) -> int:
        if fault == "stamp_back":
            self._shift_ns -= round(self._dice.uniform(0.1, 100) * NS_PER_S)
        elif fault == "stamp_forward":
            self._shift_ns += round(self._dice.uniform(3, 100_000) * NS_PER_S)
        elif fault == "stamp_zero":
            return 0
        elif fault == "duplicate_stamp":
            return self._last_ns
        self._last_ns = time.time_ns() + self._shift_ns
        return self._last_ns

    def _message(self, rgb: np.ndarray, stamp_ns: int) -> Any:
        header = header_of(Frame(rgb, stamp_ns, f"{self._run}.{self._count}"))
        if self._kind is Image:
            return to_image(rgb, header)
        data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
        return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data.tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--size", type=image_size, default=(512, 1024))
    parser.add_argument("--compressed", action="store_true")
    rclpy.init()
    args = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    try:
        SoakCamera(args).play()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # what was under way when a signal shut the context down may fail of it
            raise
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
