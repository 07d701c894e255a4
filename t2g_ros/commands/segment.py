"""`t2g segment`: the ROS 2 node, the same as `ros2 run t2g_ros segment_node`."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from t2g_ros.errors import T2GError


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand; every argument goes to the node."""
    parser = subparsers.add_parser(
        "segment",
        help="run the ROS 2 segmentation node",
        description="Runs the segmentation node. Its parameters are described in config/segment.yaml.",
        usage="t2g segment [--ros-args -p name:=value -r from:=to --params-file FILE ...]",
    )
    parser.set_defaults(ros_args=[])
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the node until it is stopped."""
    # Only looked for: from here on the node's own signal handlers should be in place soon.
    if find_spec("rclpy") is None:
        raise T2GError(
            "t2g segment: rclpy is not installed; source a ROS 2 distribution "
            "or install the wheels: pip install 't2g_ros[ros-jazzy]'"
        )
    from t2g_ros.ros.segment_node import main

    main(args.ros_args)
