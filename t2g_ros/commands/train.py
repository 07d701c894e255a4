"""`t2g train`: train a network as a config file describes."""

from __future__ import annotations

import argparse
from pathlib import Path

from t2g_ros.errors import InstallationError


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "train",
        help="train a network from a config file",
        description="Trains a network; the same command again goes on where a stopped run was.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="such as config/train/t2g_tiny.yaml")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/ and the config's stem)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="config values to use instead")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train and print where the weights are."""
    import logging
    import os

    try:
        from t2g_ros.training.trainer import main
    except ModuleNotFoundError as error:
        raise InstallationError(
            f"training needs {error.name}, which is not installed; run: pip install lightning-fabric scipy tensorboardX"
        ) from error

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    weights = main(args.config, args.overrides, args.out or Path("runs") / args.config.stem)
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks
        print(weights)
    return 0
