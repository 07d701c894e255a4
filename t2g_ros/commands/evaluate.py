"""`t2g evaluate`: how accurate, how stable and how fast, on recorded drives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from t2g_ros.commands.arguments import (
    DEFAULT_MODEL,
    add_model_arguments,
    add_source_arguments,
    natural_int,
    positive_float,
    positive_int,
    runtime_from,
    sources_from,
)
from t2g_ros.inference.clip_memory import CLIP_SPAN_S

SEVERITIES = range(1, 6)
EXIT_PARTIAL = 1
"""Some recordings could not be evaluated."""
T = TypeVar("T")


def stride_list(text: str) -> list[int]:
    """Return whole numbers of at least 1, for argparse: `1,2,5`."""
    return _each(text, positive_int, "whole numbers of at least 1, such as 1,2,5")


def share_list(text: str) -> list[float]:
    """Return numbers between 0 and 1, for argparse: `0.1,0.3`."""
    expected = "shares between 0 and 1, such as 0.1,0.3"
    shares = _each(text, float, expected)
    if not all(0 < share < 1 for share in shares):
        raise argparse.ArgumentTypeError(f"{text}: expected {expected}")
    return shares


def family_list(text: str) -> list[str]:
    """Return corruptions, for argparse: `fog,snow`, or `all`."""
    from t2g_ros.evaluation.corruptions import FAMILIES

    families = list(FAMILIES) if text == "all" else text.split(",")
    if unknown := set(families) - set(FAMILIES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected of {', '.join(FAMILIES)}, or all")
    return families


def severity_list(text: str) -> list[int]:
    """Return severities, for argparse: `3`, `1,5` or `1-5`."""
    expected = "severities of 1 to 5, such as 3 or 1-5"
    spans = [_each(part, int, expected, "-") for part in text.split(",")]
    severities = [severity for span in spans for severity in range(span[0], span[-1] + 1)]
    if not severities or not all(severity in SEVERITIES for severity in severities):
        raise argparse.ArgumentTypeError(f"{text}: expected {expected}")
    return severities


def _each(text: str, kind: Callable[[str], T], expected: str, separator: str = ",") -> list[T]:
    try:
        return [kind(part) for part in text.split(separator)]
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text}: expected {expected}") from None


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure accuracy, stability and speed on recorded drives",
        description="Replays recordings through the network as the node would see them, every frame under its "
        "recorded stamp, and writes metrics.json, report.html and overlay.mp4. Several bags, videos or folders, or "
        "patterns of them, are judged together. Under torchrun the work is shared among the processes.",
    )
    add_source_arguments(parser, several=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--strides", type=stride_list, default=[1], metavar="K,..", help="take every Kth frame")
    parser.add_argument("--jitter", type=stride_list, default=[], metavar="K,..", help="take one at random of every K")
    parser.add_argument("--drop", type=share_list, default=[], metavar="P,..", help="lose this share at random")
    parser.add_argument(
        "--corruptions", type=family_list, default=[], metavar="C,..", help="of fog,frost,snow,spatter, or all"
    )
    parser.add_argument("--severities", type=severity_list, default=[3], metavar="S,..", help="1-5 (default: 3)")
    parser.add_argument("--baselines", action="store_true", help="also without memory, alone and averaged over time")
    parser.add_argument("--classes", metavar="NAME", help="label space to judge in, such as dgvss15")
    parser.add_argument("--flow", default="dis", choices=("dis", "farneback"), help="optical flow (default: dis)")
    parser.add_argument(
        "--clip-span-s", type=positive_float, default=CLIP_SPAN_S, metavar="S", help="as the node's parameter"
    )
    parser.add_argument("--max-gap-s", type=positive_float, default=2.0, metavar="S", help="as the node's parameter")
    parser.add_argument("--lag-frames", type=natural_int, default=0, metavar="N", help="as the node's parameter")
    parser.add_argument("--no-overlay", action="store_true", help="write no overlay.mp4")
    parser.add_argument("--masks-bag", type=Path, metavar="BAG", help="also record the masks, for RViz and Foxglove")
    add_model_arguments(parser, several=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table of figures."""
    from t2g_ros.evaluation.evaluate import Evaluation, Options
    from t2g_ros.evaluation.replay.conditions import conditions
    from t2g_ros.evaluation.shards import Shards

    shards = Shards()
    args.threads = args.threads or shards.threads
    sources = sources_from(args)
    options = Options(
        conditions=conditions(args.strides, args.jitter, args.drop, args.corruptions, args.severities),
        out=args.out,
        baselines=args.baselines,
        classes=args.classes,
        flow=args.flow,
        clip_span_s=args.clip_span_s,
        max_gap_s=args.max_gap_s,
        lag_frames=args.lag_frames,
        overlay=not args.no_overlay,
        masks_bag=args.masks_bag,
        threads=args.threads,
        command=args.command_line,
    )
    with shards.together():
        evaluation = Evaluation(sources, args.model or [DEFAULT_MODEL], partial(runtime_from, args), options, shards)
        if shards.leads:
            evaluation.prepare()
        shards.gather("ready")
        results = evaluation.run()
    if results is None:
        return 0
    print(as_table(results["rows"]))
    for line in robustness_lines(results["robustness"]):
        print(line)
    for recording in results["inputs"]:
        for loss in recording["lost"]:
            print(f"t2g: {recording['name']}: {loss}", file=sys.stderr)
    print(f"evaluate: metrics.json and report.html are in {args.out}")
    return 0 if all(recording["frames"] for recording in results["inputs"]) else EXIT_PARTIAL


COLUMNS = {
    "miou": "mIoU",
    "miou_drop": "drop",
    "mvc8": "mVC8",
    "mvc16": "mVC16",
    "tc": "TC",
    "flicker": "flicker",
    "flicker_compensated": "comp.",
    "flicker_stable": "stable",
    "truth_flicker": "truth",
    "truth_flicker_compensated": "truth comp.",
    "ece": "ECE",
}


def as_table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; shares in percent."""
    lines = [f"| model | mode | condition | masks | {' | '.join(COLUMNS.values())} | ms p50 |"]
    lines.append("|---" * (len(COLUMNS) + 5) + "|")
    for row in rows:
        figures = ["-" if row[key] is None else f"{row[key]:.2f}" for key in COLUMNS]
        total = row["latency_ms"].get("total")
        figures.append("-" if total is None else f"{total['p50']:.1f}")
        named = [row["model"], row["mode"], row["condition"], str(row["masks"])]
        lines.append(f"| {' | '.join([*named, *figures])} |")
    return "\n".join(lines)


def robustness_lines(robustness: list[dict[str, Any]]) -> list[str]:
    """Sentences on what is left of the mIoU under all corruptions together."""
    return [
        f"{each['model']}, {each['mode']}: mIoU {each['miou']:.2f} in the mean over {', '.join(each['families'])} of "
        f"severity {', '.join(map(str, each['severities']))}, {each['share_of_clean']:.1f} % of the clean one"
        for each in robustness
    ]
