"""Command-line arguments that several subcommands share, and what they open."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from t2g_ros.runtimes import Runtime
    from t2g_ros.sources import Source

DEFAULT_MODEL = "t2g_tiny"


def positive_float(text: str) -> float:
    """Return the number, for argparse: more than 0 and finite."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def positive_int(text: str) -> int:
    """Return the whole number, for argparse: at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def add_source_arguments(
    parser: argparse.ArgumentParser, *, video: bool = True, bag: bool = True, required: bool = True
) -> None:
    """Add the arguments that `source_from` reads; the help leaves out kinds that a command does not take."""
    kinds = parser.add_mutually_exclusive_group(required=required)
    kinds.add_argument("--frames", type=Path, metavar="DIR", help="images, or a folder with images/ and labels/")
    if video:
        kinds.add_argument("--video", type=Path, metavar="FILE", help="video file")
    if bag:
        kinds.add_argument("--bag", type=Path, metavar="BAG", help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag")
        parser.add_argument("--image-topic", metavar="T", help="the bag's image topic, raw or compressed")
    parser.add_argument("--fps", type=positive_float, metavar="F", help="frames per second, instead of the recorded")
    parser.add_argument("--label-space", metavar="NAME", help="what the ids in labels/ mean, such as camvid11")


def source_from(args: argparse.Namespace) -> Source:
    """Open the source that the arguments name, and tell the user what had to be assumed.

    Raises:
        InputError: it cannot be read as what it claims to be.
    """
    from t2g_ros.sources import open_source

    source = open_source(
        frames=args.frames,
        video=getattr(args, "video", None),
        bag=getattr(args, "bag", None),
        image_topic=getattr(args, "image_topic", None),
        fps=args.fps,
        label_space=args.label_space,
    )
    for assumption in source.assumptions:
        print(f"t2g: {assumption}", file=sys.stderr)
    return source


def source_to_argv(args: argparse.Namespace) -> list[str]:
    """Return the arguments by which another process opens the same source."""
    argv: list[str] = []
    for key in ("frames", "video", "bag", "image_topic", "fps", "label_space"):
        if (value := getattr(args, key)) is not None:
            argv += [f"--{key.replace('_', '-')}", str(value)]
    return argv


def add_model_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the arguments that `runtime_from` reads; with several, `--model` may be repeated and gives a list or None."""
    from t2g_ros.runtimes import PRECISIONS, RUNTIMES

    text = "shipped model or .safetensors file"
    if several:
        parser.add_argument("--model", action="append", metavar="M", help=f"{text}; may be repeated")
    else:
        parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help=text)
    parser.add_argument("--runtime", default="auto", choices=RUNTIMES, help="inference engine")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="what the engine computes in")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")


def runtime_from(args: argparse.Namespace, model: str | None = None, *, threads: int = 0) -> Runtime:
    """Load the network into the engine, and tell the user which and why.

    Args:
        args: of `add_model_arguments`.
        model: one of several; None takes the only one.
        threads: CPU threads of the engine; 0 takes one per core.

    Raises:
        ModelError, RuntimeUnavailable: it cannot be loaded.
    """
    from t2g_ros.errors import RuntimeUnavailable
    from t2g_ros.runtimes import load_runtime

    try:
        runtime = load_runtime(
            model or args.model, runtime=args.runtime, precision=args.precision, device=args.device, threads=threads
        )
    except ValueError as error:  # the one value that argparse cannot check
        raise RuntimeUnavailable(f"--device {args.device}: {error}") from error
    print(
        f"t2g: {runtime.model_name} in {runtime.name} {runtime.precision} on {runtime.device} ({runtime.reason})",
        file=sys.stderr,
    )
    return runtime
