"""The live node over DDS against the same pipeline written the usual way: highest rate, latency, overhead, CPU.

Run on an idle machine: `python benchmarks/node.py [--model M] [--runtime R] [--precision P] [--json FILE]`.

Two processes: the node, and one that is camera and receiver. First images at fixed rates, then a binary search for the
highest rate at which fewer than 5 % of them get no mask and masks get no later: a queue would hide for seconds that a
node falls behind. Latency is from the image's stamp, the wall clock at its publishing, to the arrival of the mask in
the other process; jitter its mean change from mask to mask. Overhead is the median latency less the medians of encode
and decode that the node tells in /diagnostics, which are over 256 frames and so of this rate alone if there are as
many; it is told where fewer than 5 % are missed, since a frame that waits for the one before would count as overhead.
`usual` is usual_node.py beside this, with the same weights in torch, as such a node calls them; `usual, same engine`
has the real node's engine, so that what differs is the node alone. The nodes take turns; figures are medians over
rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import rclpy
from inputs import Input, input_frames
from live import CameraAndReceiver, Played
from measure import arguments, as_table, image_size, percentiles, write
from rclpy.context import Context

from t2g_ros.commands.demo import PROFILES
from t2g_ros.demo.process import Process
from t2g_ros.ros.segment_node import SWITCH_S
from t2g_ros.share import share_dir

NAMESPACE, NODE_NAME = "/t2g_benchmark/camera", "segmentation"
FRAMES = 16
MISSED_PERCENT = 5.0
ON_TIME = 0.98
"""A camera that reaches less of the rate asked for does not say that the node sustains it."""
COLUMNS = (
    *("node", "rate_hz", "published_hz", "missed_percent", "p50", "p95", "p99"),
    *("jitter_ms", "encode_plus_decode_ms", "overhead_ms", "cpu_percent"),
)
ENGINE = ("model", "runtime", "precision", "device", "input_size")


@dataclass(frozen=True)
class Setup:
    """A node, what it is fed, and who listens."""

    usual: bool = False
    runtime: str = ""
    """Engine, where it is not the one that is asked for."""
    compressed: bool = False
    pictures: bool = False
    """Whether somebody looks at color and overlay."""


SETUPS = {
    "raw": Setup(),
    "usual": Setup(usual=True, runtime="torch"),
    "usual, same engine": Setup(usual=True),
    "pictures": Setup(pictures=True),
    "compressed": Setup(compressed=True),
}


def highest_rate(sustains: Callable[[float], bool], low: float, high: float, ratio: float) -> float | None:
    """Search by bisection on a logarithmic scale for the highest rate that is sustained.

    Args:
        sustains: tries a rate.
        low: below the rates that are tried.
        high: above them.
        ratio: ends the search when the bounds are this close.

    Returns:
        The highest rate that was tried and sustained, None if none was.
    """
    best = None
    while high > low * ratio:
        middle = sqrt(low * high)
        if sustains(middle):
            best = low = middle
        else:
            high = middle
    return best


def is_sustained(played: Played, rate_hz: float) -> bool:
    """Whether the camera reached the rate, few masks were missed, and no queue hid that the node fell behind."""
    later_ms = played.later_ms()
    keeps_up = later_ms is not None and later_ms < 1e3 / rate_hz
    return keeps_up and played.missed_percent() < MISSED_PERCENT and played.published_hz() >= ON_TIME * rate_hz


def figures(played: Played, engine_ms: float | None) -> dict[str, float | None]:
    """What one stretch shows, given the engine's part of a frame's time if it is known."""
    found: dict[str, float | None] = {
        "published_hz": played.published_hz(),
        "missed_percent": played.missed_percent(),
        **percentiles(played.latencies_ms()),
        "jitter_ms": played.jitter_ms(),
        "encode_plus_decode_ms": engine_ms,
        "overhead_ms": None,
        "cpu_percent": played.cpu_percent,
    }
    if engine_ms is not None and found["p50"] is not None and played.missed_percent() < MISSED_PERCENT:
        found["overhead_ms"] = found["p50"] - engine_ms
    return found


def median_figures(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Key by key the median over the rounds that have a value."""
    return {key: _median([each[key] for each in rounds]) for key in rounds[0]}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def argv(setup: Setup, args: argparse.Namespace) -> list[str]:
    """The command line of a node."""
    program = [str(Path(__file__).with_name("usual_node.py"))] if setup.usual else ["-m", "t2g_ros.ros.segment_node"]
    parameters = {key: getattr(args, key) for key in ("model", "runtime", "precision", "threads")}
    if setup.runtime:
        parameters |= {"runtime": setup.runtime, "precision": "auto"}
    if setup.compressed:
        parameters["image_transport"] = "compressed"
    settings = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    remaps = ["-r", f"__ns:={NAMESPACE}", "-r", f"__node:={NODE_NAME}"]
    return [sys.executable, *program, "--ros-args", *remaps, *settings]


def run(
    setup: Setup, images: Input, args: argparse.Namespace, context: Context, log: Path
) -> tuple[dict[float, dict[str, Any]], float | None, dict[str, str]]:
    """One node from start to end: figures by fixed rate, the highest sustained rate, and its engine."""
    kind = {"compressed": setup.compressed, "pictures": setup.pictures}
    with (
        Process("node", argv(setup, args), log) as node,
        CameraAndReceiver(context, NAMESPACE, NODE_NAME, images.frames, **kind) as other,
    ):

        def check() -> None:
            if not node.is_running():
                raise RuntimeError(f"the node ended: {log.read_text(errors='replace')[-1000:]}")

        def play(rate_hz: float, frames: int) -> Played:
            check()
            return other.play(rate_hz, frames, args.warm_up, node.pid)

        def sustains(rate_hz: float) -> bool:
            return is_sustained(play(rate_hz, max(20, round(rate_hz * args.trial_s))), rate_hz)

        other.connect(check)
        rates = {}
        for rate_hz in sorted(args.rates):
            played = play(rate_hz, args.frames)
            rates[rate_hz] = figures(played, None if setup.usual else other.engine_ms())
        fps = highest_rate(sustains, args.lowest, args.highest, args.ratio)
        model = other.diagnostics.get("model", {})
        node.stop()
    return rates, fps, {key: model[key] for key in ENGINE if key in model}


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    images = input_frames(FRAMES, args.size)
    rows: dict[tuple[str, float], list[dict[str, Any]]] = {}
    highest: dict[str, list[float | None]] = {}
    engine: dict[str, str] = {}
    context = Context()
    rclpy.init(context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    try:
        with TemporaryDirectory(prefix="t2g_ros-") as logs:
            for _ in range(args.rounds):
                for name in args.setups:
                    rates, fps, told = run(SETUPS[name], images, args, context, Path(logs) / "node.log")
                    engine = engine or told
                    highest.setdefault(name, []).append(fps)
                    for rate_hz, found in rates.items():
                        rows.setdefault((name, rate_hz), []).append(found)
    finally:
        rclpy.shutdown(context=context)
    table = [{"node": name, "rate_hz": rate_hz} | median_figures(each) for (name, rate_hz), each in rows.items()]
    sustained = {name: _median(each) for name, each in highest.items()}
    headline = next((r for r in table if r["node"] == "raw" and r["rate_hz"] == args.headline), {})
    ours, usual = sustained.get("raw"), sustained.get("usual")
    return {
        "fps_sustained": ours,
        "latency_ms": {key: headline.get(key) for key in ("p50", "p95", "p99")},
        "overhead_ms": headline.get("overhead_ms"),
        "usual_way_fps": usual,
        "fps_over_usual_way": ours / usual if ours and usual else None,
        "headline_hz": args.headline,
        "engine": engine,
        "input": images.described(),
        "rounds": args.rounds,
        "fps_sustained_by_node": sustained,
        "by_rate": table,
    }


def main(arguments_: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, turns=False)
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=list(SETUPS), help="what is measured")
    parser.add_argument("--size", type=image_size, default=(512, 1024), metavar="WxH", help="of the images")
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 15, 30, 60], help="fixed rates, Hz")
    parser.add_argument("--headline", type=float, default=15, help="the fixed rate of latency_ms and overhead_ms, Hz")
    parser.add_argument("--frames", type=int, default=300, help="images at each fixed rate that count")
    parser.add_argument("--warm-up", type=int, default=15, help="images before them")
    parser.add_argument("--trial-s", type=float, default=5, help="seconds that a rate of the search is tried")
    parser.add_argument("--lowest", type=float, default=2, help="below the rates of the search, Hz")
    parser.add_argument("--highest", type=float, default=240, help="above them, Hz")
    parser.add_argument("--ratio", type=float, default=1.05, help="how close the bounds come in the search")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--domain", type=int, default=1 + os.getpid() % 100, help="ROS_DOMAIN_ID of this run")
    args = parser.parse_args(arguments_)
    if args.headline not in args.rates:
        parser.error(f"--headline {args.headline:g} is none of the --rates {args.rates}")
    if args.frames < 2:
        parser.error(f"--frames {args.frames}: a rate needs at least 2")
    # Both are inherited by the node. Images are larger than Fast DDS's default shared-memory segment.
    os.environ["ROS_DOMAIN_ID"] = str(args.domain)
    if not any(name in os.environ for name in PROFILES):
        os.environ.update(dict.fromkeys(PROFILES, str(share_dir() / "config" / "fastdds.xml")))
    # The receiver's thread must not wait for the camera's; as in the node.
    sys.setswitchinterval(SWITCH_S)
    results = measured(args)
    print(as_table(results["by_rate"], COLUMNS))
    print()
    for name, fps in results["fps_sustained_by_node"].items():
        text = "no rate" if fps is None else f"{fps:.1f} Hz"
        print(f"{name:<20}{text} with fewer than {MISSED_PERCENT:g} % missed")
    write(args.json, "node", results)


if __name__ == "__main__":
    main()
