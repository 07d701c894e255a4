"""A stand-in for `ros2 bag play` and `ros2 bag record` on machines without rosbag2, which no package index has.

It is no mock of DDS: it publishes and records for real through rclpy, under the names, qualities of service and
signals of rosbag2's own processes, with `rosbags` for the file. It knows the options that replay.launch.py uses and
refuses all others. Unlike rosbag2's, its service `/rosbag2_player/resume` is of std_srvs/Trigger, for want of
rosbag2_interfaces.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread

import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.writer import CompressionFormat, CompressionMode
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

stopped = False


def stop(*_: object) -> None:
    global stopped
    stopped = True


def message_type(name: str) -> type:
    package, _, kind = name.split("/")
    return getattr(__import__(f"{package}.msg", fromlist=[kind]), kind)


class PlayerClock:
    """Time in the bag: stands still while paused, runs at a rate and jumps, as rosbag2's does."""

    def __init__(self, start_ns: int, rate: float, paused: bool) -> None:
        self.rate, self.paused = rate, paused
        self.jump(start_ns)

    def jump(self, now_ns: int) -> None:
        self._at_ns, self._since = now_ns, time.monotonic()

    def now_ns(self) -> int:
        elapsed = 0.0 if self.paused else time.monotonic() - self._since
        return self._at_ns + round(elapsed * self.rate * 1e9)

    def resume(self) -> None:
        self.jump(self.now_ns())
        self.paused = False


def play(args: argparse.Namespace) -> int:
    node = rclpy.create_node("rosbag2_player")
    with AnyReader([args.bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        connections = [c for c in reader.connections if c.topic in args.topics and c.topic != "/clock"]
        publishers = {}
        for c in connections:
            offered = c.ext.offered_qos_profiles  # type: ignore[union-attr]
            latched = bool(offered) and offered[0].durability.name == "TRANSIENT_LOCAL"
            durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
            qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
            publishers[c.topic] = node.create_publisher(message_type(c.msgtype), c.topic, qos)
        clock = PlayerClock(reader.start_time, args.rate, args.start_paused)
        ticks = node.create_publisher(Clock, "/clock", 10)

        def tick() -> None:
            msg = Clock()
            msg.clock.sec, msg.clock.nanosec = divmod(clock.now_ns(), 1_000_000_000)
            ticks.publish(msg)

        def resume(request: object, response: Trigger.Response) -> Trigger.Response:
            clock.resume()
            response.success = True
            return response

        node.create_timer(1 / args.clock, tick)
        node.create_service(Trigger, "/rosbag2_player/resume", resume)
        spinner = Thread(target=spin, args=(node,))
        spinner.start()
        while not stopped:
            clock.jump(reader.start_time)
            for connection, recorded_ns, data in reader.messages(connections):
                while (clock.paused or clock.now_ns() < recorded_ns) and not stopped:
                    time.sleep(0.002)
                if stopped:
                    break
                publishers[connection.topic].publish(bytes(data))
            if not args.loop:
                break
        time.sleep(0.2)
        stop()
        spinner.join()
    return 0


def record(args: argparse.Namespace) -> int:
    node = rclpy.create_node("rosbag2_recorder")
    store = get_typestore(Stores.ROS2_JAZZY)
    wanted = re.compile(args.regex)
    writer = Writer(args.output, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    known: set[str] = set()
    with writer:

        def discover() -> None:
            for topic, (kind, *_) in node.get_topic_names_and_types():
                offers = node.get_publishers_info_by_topic(topic)
                if topic not in known and wanted.search(topic) and offers:
                    known.add(topic)
                    connection = writer.add_connection(topic, kind, typestore=store)
                    offered = offers[0].qos_profile
                    qos = QoSProfile(depth=50, reliability=offered.reliability, durability=offered.durability)
                    take = partial(write, connection)
                    node.create_subscription(message_type(kind), topic, take, qos, raw=True)

        def write(connection: object, data: bytes) -> None:
            writer.write(connection, time.time_ns(), data)  # type: ignore[arg-type]

        node.create_timer(0.1, discover)
        spin(node)
    print(f"recorded {len(known)} topics")
    return 0


def spin(node: Node) -> None:
    while not stopped:
        rclpy.spin_once(node, timeout_sec=0.05)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ros2 bag")
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("play", allow_abbrev=False)
    verb.set_defaults(run=play)
    verb.add_argument("bag", type=Path)
    verb.add_argument("--clock", type=float, required=True)
    verb.add_argument("--rate", type=float, default=1.0)
    verb.add_argument("--topics", nargs="+", default=[])
    verb.add_argument("--disable-keyboard-controls", action="store_true")
    verb.add_argument("--loop", action="store_true")
    verb.add_argument("--start-paused", action="store_true")
    verb = verbs.add_parser("record", allow_abbrev=False)
    verb.set_defaults(run=record)
    verb.add_argument("--storage", choices=["mcap"], required=True)
    verb.add_argument("--storage-preset-profile", choices=["zstd_fast"])
    verb.add_argument("--output", type=Path, required=True)
    verb.add_argument("--regex", required=True)
    return parser.parse_args(argv)


def main() -> int:
    if sys.argv[1:2] != ["bag"]:
        raise SystemExit(f"only 'ros2 bag' is known here, not {sys.argv[1:]}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    args = parse(sys.argv[2:])
    print("profiles", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE"), os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE"))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    run: Callable[[argparse.Namespace], int] = args.run
    code = run(args)
    rclpy.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
