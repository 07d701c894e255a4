"""`t2g demo`: plays frames as a camera over DDS, runs the node beside it, records and judges what comes out."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2g_ros.commands.arguments import add_model_arguments, add_source_arguments, source_from, source_to_argv
from t2g_ros.demo.process import DemoError, Process
from t2g_ros.share import share_dir

if TYPE_CHECKING:
    from t2g_ros.demo.recorder import Recorder
    from t2g_ros.sources import Source

NAMESPACE = "/t2g_demo/camera"
NODE_NAME = "segmentation"
BAG = "masks_bag"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS 2, and 3
READY_TIMEOUT_S = 300.0
"""The first start converts the model for the engine."""
QUIET_S = 3.0
"""No mask for so long after the camera has stopped: the rest was dropped."""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="play a clip as a live camera, segment it over ROS 2, record and judge the result",
        description="Three processes over DDS: a camera that plays frames in real time, the segmentation node, and a "
        "recorder. DIR gets overlay.mp4, a bag of the masks, and summary.json. Without a source it plays the rendered "
        "clip that ships with the package.",
    )
    add_source_arguments(parser, required=False)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="folder to write")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its summary."""
    try:
        import rclpy
    except ImportError as error:
        raise DemoError(
            f"t2g demo: rclpy cannot be imported ({error}); source a ROS 2 distribution "
            "or install the wheels: pip install 't2g_ros[ros-jazzy]'"
        ) from error
    from rclpy.executors import ExternalShutdownException

    from t2g_ros.demo.recorder import Recorder

    if not any((args.frames, args.video, args.bag, args.dataset)):
        args.frames = share_dir() / "test" / "data" / "drive"
    source = source_from(args)  # so that a wrong one is refused before anything starts
    out: Path = args.out
    _clean(out)
    if not any(name in os.environ for name in PROFILES):
        # Images are larger than Fast DDS's default shared-memory segment. Inherited by the processes started here.
        os.environ.update(dict.fromkeys(PROFILES, str(share_dir() / "config" / "fastdds.xml")))
    rclpy.init(args=[])
    try:
        with ExitStack() as stack:
            recorder = stack.enter_context(Recorder(out / BAG, NAMESPACE, NODE_NAME))
            node = stack.enter_context(Process("node", _node_argv(args), out / "node.log"))
            print("demo: the node is starting (the first time it converts the model for the engine)", flush=True)
            _wait_until_ready(recorder, node)
            camera = stack.enter_context(Process("camera", _camera_argv(args, out), out / "camera.log"))
            print(f"demo: playing {source.path} as a camera", flush=True)
            _record(recorder, camera, node, source.count)
            node.stop()
        summary = _judge(args, recorder, source)
    except ExternalShutdownException as error:  # SIGTERM
        raise KeyboardInterrupt from error
    finally:
        rclpy.try_shutdown()
    print(_as_text(summary))
    print(f"demo: overlay.mp4, the bag {BAG}/ and summary.json are in {out}")
    return 0


def _clean(out: Path) -> None:
    """Make the folder and remove what an earlier demo left in it, nothing else."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / BAG).exists():
            if not (out / BAG / "metadata.yaml").is_file():
                raise DemoError(f"output {out / BAG}: is there already and is no bag; choose another --out")
            shutil.rmtree(out / BAG)
        for name in ("overlay.mp4", "summary.json", "frames.csv", "node.log", "camera.log"):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise DemoError(f"output {out}: cannot be written ({error})") from error


def _node_argv(args: argparse.Namespace) -> list[str]:
    parameters = {key: getattr(args, key) for key in ("model", "runtime", "precision", "device", "threads")}
    settings = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    remaps = ["-r", f"__ns:={NAMESPACE}", "-r", f"__node:={NODE_NAME}"]
    return [sys.executable, "-m", "t2g_ros.ros.segment_node", "--ros-args", *remaps, *settings]


def _camera_argv(args: argparse.Namespace, out: Path) -> list[str]:
    source = [*source_to_argv(args), "--log", str(out / "frames.csv")]
    return [sys.executable, "-m", "t2g_ros.demo.camera", *source, "--ros-args", "-r", f"__ns:={NAMESPACE}"]


def _wait_until_ready(recorder: Recorder, node: Process) -> None:
    import rclpy

    deadline = time.monotonic() + READY_TIMEOUT_S
    while not recorder.node_is_ready():
        if not node.is_running():
            raise DemoError(f"the node process ended before it was active; see {node.log}")
        if recorder.model_error:
            raise DemoError(f"the node {recorder.model_error}")
        if time.monotonic() > deadline:
            raise DemoError(f"the node was not active within {READY_TIMEOUT_S:.0f} s; see {node.log}")
        rclpy.spin_once(recorder, timeout_sec=0.2)


def _record(recorder: Recorder, camera: Process, node: Process, total: int | None) -> None:
    """Record until the camera has ended and no more masks come."""
    import rclpy
    from tqdm import tqdm

    seen, quiet_since = 0, time.monotonic()
    with tqdm(total=total, desc="record", unit="mask", disable=None) as progress:
        while time.monotonic() - quiet_since < QUIET_S:
            rclpy.spin_once(recorder, timeout_sec=0.2)
            node.is_running()
            new = len(recorder.arrivals_ns) - seen
            if new or camera.is_running():
                quiet_since = time.monotonic()
            seen += new
            progress.update(new)


def _judge(args: argparse.Namespace, recorder: Recorder, source: Source) -> dict[str, Any]:
    from t2g_ros.demo.report import summarise

    summary = summarise(args.out, BAG, recorder, source)
    (args.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _as_text(summary: dict[str, Any]) -> str:
    """The summary as aligned lines; p50 and p95 as two columns."""
    lines = []
    for key, value in summary.items():
        if key == "stage_ms":
            lines += [f"  stage {stage:<16}{_pair(times)}" for stage, times in value.items()]
        else:
            lines.append(f"  {key:<22}{_pair(value) if isinstance(value, dict) else value}")
    return "\n".join(lines)


def _pair(times: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {value} ms" for name, value in times.items())
