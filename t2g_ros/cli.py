"""The `t2g` command: one module of `t2g_ros.commands` per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from t2g_ros import __version__
from t2g_ros.errors import T2GError

COMMANDS = ("demo", "segment", "evaluate", "predict", "train", "make_bag", "export", "quantize")
"""Modules of `t2g_ros.commands`, in the order of the help. Each offers `add_parser(subparsers)`, cheap to import,
and `run(args) -> int`, which imports what it needs."""

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `t2g` with every subcommand."""
    parser = argparse.ArgumentParser(
        prog="t2g", description="Flicker-free semantic segmentation of driving video, as a ROS 2 node and offline."
    )
    parser.add_argument("--version", action="version", version=f"t2g_ros {__version__}")
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for name in COMMANDS:
        module = import_module(f"t2g_ros.commands.{name}")
        module.add_parser(subparsers).set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code: 0, 2 for a wrong input or command line, 130 when interrupted."""
    try:
        parser = build_parser()
        args, unknown = parser.parse_known_args(argv)
        if unknown and not hasattr(args, "ros_args"):
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        if unknown:
            args.ros_args = unknown
        args.command_line = ["t2g", *(sys.argv[1:] if argv is None else argv)]
        return int(args.run(args))
    except (T2GError, OSError) as error:  # an OSError names the file that cannot be read
        print(f"t2g: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
