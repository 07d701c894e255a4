"""Several cameras in one node against a node for each of them, over DDS: masks per second of all, memory of all.

Run on an idle machine: `python benchmarks/cameras.py [--cameras 1 2 3] [--model M] [--runtime R] [--json FILE]`.

The nodes are processes; another one is all cameras and receives all masks. A camera sends its next image when the mask
of the last one arrives, so none is dropped, and a single camera leaves the node a pause meanwhile. Counted are the
masks that arrive within `--seconds`, after `--warm-up-s`. On a machine that is not idle several processes get a larger
share of it than one; `cpu_ms_per_mask`, the nodes' time on all cores, depends on that less. Memory is what the nodes'
processes have in RAM at the end: `rss_mb` is the sum of their resident sizes; `pss_mb` counts once what processes
share, such as libraries. Arrangements take turns; figures are medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import rclpy
from inputs import Input, input_frames
from live import SpinningNode, cpu_s
from measure import arguments, as_table, described, image_size, write
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from t2g_ros.commands.demo import PROFILES
from t2g_ros.demo.process import Process
from t2g_ros.ros.images import header_of, to_image
from t2g_ros.runtimes import load_runtime
from t2g_ros.share import share_dir
from t2g_ros.types import NS_PER_S, Frame

NAMESPACE = "/t2g_benchmark"
FRAMES = 16
READY_TIMEOUT_S = 300.0
LOST_AFTER_S = 2.0
"""A camera that gets no mask for so long begins anew: DDS may lose an image."""
COLUMNS = ("cameras", "arrangement", "fps", "slowest_camera_fps", "cpu_ms_per_mask", "rss_mb", "pss_mb")
COMPARED = ("fps", "cpu_ms_per_mask", "rss_mb", "pss_mb")


class AllCameras(SpinningNode):
    """Publishes an image of a camera whenever a mask of it arrives.

    Args:
        context: of rclpy, initialized.
        names: of the cameras.
        frames: (H, W, 3) RGB, played in a circle.
    """

    def __init__(self, context: Context, names: Sequence[str], frames: Sequence[NDArray[Any]]) -> None:
        super().__init__("all_cameras", NAMESPACE, context)
        self.masks = dict.fromkeys(names, 0)
        """Those that have arrived, by camera."""
        self._frames = [to_image(frame, header_of(Frame(frame, 0, "camera_optical_frame"))) for frame in frames]
        self._images = {name: self.create_publisher(Image, f"{name}/image_raw", 10) for name in names}
        self._last_s = dict.fromkeys(names, 0.0)
        self._sent = 0
        for name in names:
            take = partial(self._on_mask, name)
            self.create_subscription(Image, f"{name}/segmentation/mask", take, QoSProfile(depth=10), raw=True)
        self.create_timer(0.2, self._begin_anew)

    def _on_mask(self, name: str, _: bytes) -> None:
        self.masks[name] += 1
        self._publish(name)

    def _begin_anew(self) -> None:
        for name, last_s in self._last_s.items():
            if time.monotonic() - last_s > LOST_AFTER_S:
                self._publish(name)

    def _publish(self, name: str) -> None:
        message = self._frames[self._sent % len(self._frames)]
        self._sent += 1
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), NS_PER_S)
        self._images[name].publish(message)
        self._last_s[name] = time.monotonic()


def argv(names: Sequence[str], namespace: str, args: argparse.Namespace) -> list[str]:
    """The command line of a node with these cameras; of one that has no name, with one name that is empty."""
    parameters = {key: getattr(args, key) for key in ("model", "runtime", "precision", "threads")}
    if args.input_size:
        parameters["input_size"] = f"[{args.input_size[0]}, {args.input_size[1]}]"
    if any(names):
        parameters["cameras"] = f"[{', '.join(names)}]"
    settings = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    return [sys.executable, "-m", "t2g_ros.ros.segment_node", "--ros-args", "-r", f"__ns:={namespace}", *settings]


def memory_mb(pid: int, key: str) -> float:
    """What the kernel says of a process in `smaps_rollup`, such as its `Rss`, in 10^6 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024 / 1e6


def run(
    names: Sequence[str], commands: Sequence[list[str]], images: Input, args: argparse.Namespace, context: Context
) -> dict[str, Any]:
    """Figures of nodes, started by these commands, that have these cameras."""
    with ExitStack() as stack, TemporaryDirectory(prefix="t2g_ros-") as logs:
        nodes = [
            stack.enter_context(Process(f"node {k}", command, Path(logs) / f"{k}.log"))
            for k, command in enumerate(commands)
        ]
        cameras = stack.enter_context(AllCameras(context, names, images.frames))

        def wait(until: Callable[[], bool], what: str, timeout_s: float) -> None:
            end = time.monotonic() + timeout_s
            while not until():
                for node in nodes:
                    if not node.is_running():
                        raise RuntimeError(f"the {node.name} process ended by itself: {node.log.read_text()[-1000:]}")
                if time.monotonic() > end:
                    raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
                time.sleep(0.05)

        wait(lambda: all(cameras.masks.values()), "a mask of each camera", READY_TIMEOUT_S)
        warm = time.monotonic() + args.warm_up_s
        wait(lambda: time.monotonic() > warm, "the warm-up", READY_TIMEOUT_S)
        cpu_before_s, before, start = sum(cpu_s(node.pid) for node in nodes), dict(cameras.masks), time.monotonic()
        wait(lambda: time.monotonic() > start + args.seconds, "the measurement", READY_TIMEOUT_S)
        took_s = time.monotonic() - start
        used_s = sum(cpu_s(node.pid) for node in nodes) - cpu_before_s
        counts = [cameras.masks[name] - before[name] for name in names]
        rss, pss = (sum(memory_mb(node.pid, key) for node in nodes) for key in ("Rss", "Pss"))
        for node in nodes:
            node.stop()
    return {
        "fps": sum(counts) / took_s,
        "slowest_camera_fps": min(counts) / took_s,
        "fastest_camera_fps": max(counts) / took_s,
        "cpu_ms_per_mask": 1e3 * used_s / max(sum(counts), 1),
        "rss_mb": rss,
        "pss_mb": pss,
    }


def summed_up(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One node over as many nodes, by the number of cameras; and what a camera more costs either of them.

    Args:
        rows: medians by number of `cameras` and `arrangement`.
    """
    by = {(row["cameras"], row["arrangement"]): row for row in rows}
    counts = sorted({row["cameras"] for row in rows})
    ratios = {
        str(count): {key: by[count, "one node"][key] / by[count, "a node each"][key] for key in COMPARED}
        for count in counts
    }
    added = {}
    if len(counts) > 1:
        first, last = counts[0], counts[-1]
        for arrangement in ("one node", "a node each"):
            added[arrangement] = {
                key: (by[last, arrangement][key] - by[first, arrangement][key]) / (last - first)
                for key in ("rss_mb", "pss_mb")
            }
    return {"one_node_over_a_node_each": ratios, "a_camera_more_mb": added}


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    images = input_frames(FRAMES, args.size)
    # Converts the model if need be: a node that has done so holds torch, too.
    options = {"runtime": args.runtime, "precision": args.precision, "threads": args.threads}
    engine = described(load_runtime(args.model, input_size=args.input_size, **options))
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    context = Context()
    rclpy.init(context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    try:
        for _ in range(args.rounds):
            for count in sorted(args.cameras):
                names = [f"camera_{k}" for k in range(count)]
                arrangements = {
                    "one node": [argv(names, NAMESPACE, args)],
                    "a node each": [argv([""], f"{NAMESPACE}/{name}", args) for name in names],
                }
                for arrangement, commands in arrangements.items():
                    figures = run(names, commands, images, args, context)
                    found.setdefault((count, arrangement), []).append(figures)
    finally:
        rclpy.shutdown(context=context)
    rows: list[dict[str, Any]] = [
        {"cameras": count, "arrangement": arrangement}
        | {key: median(each[key] for each in rounds) for key in rounds[0]}
        for (count, arrangement), rounds in found.items()
    ]
    return {
        **summed_up(rows),
        "engine": engine,
        "input": images.described(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "by_cameras": rows,
    }


def main(arguments_: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, turns=False)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 3], help="how many")
    parser.add_argument("--size", type=image_size, default=(512, 1024), metavar="WxH", help="of the images")
    parser.add_argument("--input-size", type=image_size, metavar="WxH", help="of the network's input; else the model's")
    parser.add_argument("--seconds", type=float, default=20, help="in which masks are counted")
    parser.add_argument("--warm-up-s", type=float, default=5, help="seconds before them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--domain", type=int, default=1 + os.getpid() % 100, help="ROS_DOMAIN_ID of this run")
    args = parser.parse_args(arguments_)
    if min(args.cameras) < 1:
        parser.error(f"--cameras {args.cameras}: expected 1 or more")
    # Both are inherited by the nodes. Images are larger than Fast DDS's default shared-memory segment.
    os.environ["ROS_DOMAIN_ID"] = str(args.domain)
    if not any(name in os.environ for name in PROFILES):
        os.environ.update(dict.fromkeys(PROFILES, str(share_dir() / "config" / "fastdds.xml")))
    results = measured(args)
    print(as_table(results["by_cameras"], COLUMNS))
    print()
    for count, ratios in results["one_node_over_a_node_each"].items():
        told = ", ".join(f"{key} {ratio:.2f}" for key, ratio in ratios.items())
        print(f"{count} camera(s), one node over a node each: {told}")
    for arrangement, added in results["a_camera_more_mb"].items():
        print(f"a camera more, {arrangement}: {', '.join(f'{key} {value:+.0f}' for key, value in added.items())}")
    write(args.json, "cameras", results)


if __name__ == "__main__":
    main()
