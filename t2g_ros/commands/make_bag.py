"""`t2g make-bag`: recorded frames, and their labels, as a rosbag2 camera to replay."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from t2g_ros.commands.arguments import add_source_arguments, source_from, tell_losses
from t2g_ros.errors import InputError, T2GError


def camera_namespace(text: str) -> str:
    """Return an absolute ROS namespace, for argparse."""
    if not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an absolute ROS name, such as /camera")
    return text


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "make-bag",
        help="turn a folder, a video or a data set's sequence into a rosbag2 camera",
        description="Writes a rosbag2 with the images, an uncalibrated camera_info and, where there are labels, "
        "the ground truth (mono8), all under the same stamps.",
    )
    add_source_arguments(parser, bag=False)
    parser.add_argument("--out", type=Path, required=True, metavar="BAG", help="bag folder to make; must not exist")
    parser.add_argument("--camera", type=camera_namespace, default="/camera", metavar="NS", help="topics' namespace")
    parser.add_argument("--frame-id", default="camera", metavar="ID", help="frame_id of every message")
    parser.add_argument("--compression", default="raw", choices=("raw", "jpeg"), help="how the images are stored")
    parser.add_argument("--storage", default="mcap", choices=("mcap", "sqlite3"), help="the bag's file format")
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the bag; whatever stops it leaves no half bag behind."""
    from tqdm import tqdm

    from t2g_ros.sources.bags.camera_writer import CameraBagWriter

    source = source_from(args)
    writer = CameraBagWriter(
        args.out,
        camera=args.camera,
        frame_id=args.frame_id,
        compression=args.compression,
        label_space=source.label_space,
        storage=args.storage,
    )
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        count = writer.write(tqdm(source, desc="make-bag", unit="frame", disable=None))
        if not count:
            raise InputError(f"{source.path}: holds no frame")
    except BaseException as error:
        shutil.rmtree(args.out, ignore_errors=True)
        if isinstance(error, OSError):
            raise T2GError(f"bag {args.out}: cannot be written ({error})") from error
        raise
    tell_losses(source)
    print(f"{count} frames in {args.out}")
    return 0
