"""Command-line arguments that several subcommands share, and what they open."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2g_ros.errors import InputError

if TYPE_CHECKING:
    from t2g_ros.runtimes import Runtime
    from t2g_ros.sources import Source

DEFAULT_MODEL = "t2g_tiny"
SOURCE_KINDS = ("frames", "video", "bag", "dataset")
DATASET_KINDS = ("cityscapes", "kitti360", "apolloscape", "camvid11", "camvid32")
"""The keys of `t2g_ros.sources.datasets.DATASETS`, here for the help, which must not import the readers."""
_OPTIONS = ("image_topic", "truth_topic", "fps", "label_space")


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


def natural_int(text: str) -> int:
    """Return the whole number, for argparse: at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def input_size(text: str) -> tuple[int, int]:
    """Return (height, width) of `HxW`, for argparse."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is not HxW, such as 512x1024")
    return int(height), int(width)


def add_source_arguments(
    parser: argparse.ArgumentParser,
    *,
    video: bool = True,
    bag: bool = True,
    required: bool = True,
    several: bool = False,
) -> None:
    """Add the arguments that `source_from` reads, or with `several` those that `sources_from` reads.

    The help leaves out kinds that a command does not take.
    """
    kinds = parser.add_mutually_exclusive_group(required=required)
    many: dict[str, Any] = {"nargs": "+"} if several else {}
    also = "; several, or patterns in quotes" if several else ""
    kinds.add_argument(
        "--frames", type=Path, metavar="DIR", help=f"images, or a folder with images/ and labels/{also}", **many
    )
    if video:
        kinds.add_argument("--video", type=Path, metavar="FILE", help=f"video file{also}", **many)
    if bag:
        kinds.add_argument(
            "--bag", type=Path, metavar="BAG", help=f"rosbag2 folder, .mcap, .db3 or ROS 1 .bag{also}", **many
        )
        parser.add_argument("--image-topic", metavar="T", help="the bag's image topic, raw or compressed")
        parser.add_argument(
            "--truth-topic", metavar="T", help="the bag's masks, if not ground_truth/mask by the images"
        )
    kinds.add_argument(
        "--dataset", nargs=2, metavar=("KIND", "ROOT"), help=f"official layout of {', '.join(DATASET_KINDS)}"
    )
    which = "one sequence of the data set" + (" instead of all" if several else "")
    parser.add_argument("--sequence", metavar="NAME", help=which)
    parser.add_argument("--fps", type=positive_float, metavar="F", help="frames per second, instead of the recorded")
    parser.add_argument("--label-space", metavar="NAME", help="what the label ids mean, such as camvid11")


def source_from(args: argparse.Namespace) -> Source:
    """Open the one source that the arguments name, and tell the user what had to be assumed.

    Raises:
        InputError: it cannot be read as what it claims to be, or a data set has several sequences to choose from.
    """
    from t2g_ros.sources import open_source

    kind, path = _kind_and_value(args)
    if kind == "dataset":
        from t2g_ros.sources.datasets import open_sequence

        source = open_sequence(path[0], Path(path[1]), args.sequence)
    else:
        source = open_source(**(_options(args) | {kind: path}))
    _tell_assumptions(source)
    return source


def sources_from(args: argparse.Namespace) -> list[Source]:
    """Open all sources that the arguments name, in natural order of a pattern's matches, each recording once.

    Raises:
        InputError: one cannot be read as what it claims to be, or a pattern matches nothing.
    """
    from t2g_ros.sources import open_source, patterns

    kind, paths = _kind_and_value(args)
    if kind == "dataset":
        from t2g_ros.sources.datasets import open_dataset

        sources = open_dataset(paths[0], Path(paths[1]), args.sequence)
    else:
        expand = {"frames": patterns.expand_folders, "video": patterns.expand_files, "bag": patterns.expand_bags}[kind]
        sources = [open_source(**(_options(args) | {kind: path})) for path in expand(paths)]
    for source in sources:
        _tell_assumptions(source)
    return sources


def tell_losses(source: Source) -> None:
    """Tell the user what could not be read."""
    for loss in source.losses:
        print(f"t2g: lost: {loss}", file=sys.stderr)


def source_to_argv(args: argparse.Namespace) -> list[str]:
    """Return the arguments by which another process opens the same source."""
    argv: list[str] = []
    for key in ("frames", "video", "bag", "dataset", "sequence", *_OPTIONS):
        if (value := getattr(args, key)) is not None:
            argv += [f"--{key.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return argv


def _kind_and_value(args: argparse.Namespace) -> tuple[str, Any]:
    """Return which kind of source was chosen and its path or paths; of a data set the kind and root.

    Raises:
        InputError: none was chosen, or an option does not belong to it.
    """
    given = {kind: getattr(args, kind, None) for kind in SOURCE_KINDS}
    chosen = [kind for kind, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise InputError(f"expected exactly one of {', '.join(f'--{kind}' for kind in SOURCE_KINDS)}")
    if chosen[0] != "dataset" and args.sequence is not None:
        raise InputError(f"--sequence {args.sequence}: was given, but no --dataset")
    if chosen[0] == "dataset" and (needless := [key for key, value in _options(args).items() if value is not None]):
        raise InputError(f"--{needless[0].replace('_', '-')}: does not go with --dataset, whose layout says it")
    return chosen[0], given[chosen[0]]


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(args, key, None) for key in _OPTIONS}


def _tell_assumptions(source: Source) -> None:
    for assumption in source.assumptions:
        print(f"t2g: {assumption}", file=sys.stderr)


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
    parser.add_argument(
        "--threads", type=natural_int, default=0, metavar="N", help="CPU threads of the engine (0: all cores)"
    )


def runtime_from(args: argparse.Namespace, model: str | None = None) -> Runtime:
    """Load the network into the engine, and tell the user which and why.

    Args:
        args: of `add_model_arguments`.
        model: one of several; None takes the only one.

    Raises:
        ModelError, RuntimeUnavailable: it cannot be loaded.
    """
    from t2g_ros.errors import RuntimeUnavailable
    from t2g_ros.runtimes import load_runtime

    try:
        runtime = load_runtime(
            model or args.model,
            runtime=args.runtime,
            precision=args.precision,
            device=args.device,
            threads=args.threads,
        )
    except ValueError as error:  # the one value that argparse cannot check
        raise RuntimeUnavailable(f"--device {args.device}: {error}") from error
    print(
        f"t2g: {runtime.model_name} in {runtime.name} {runtime.precision} on {runtime.device} ({runtime.reason})",
        file=sys.stderr,
    )
    return runtime
