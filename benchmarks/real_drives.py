"""What the benchmarks evaluate on, and how: real drives of ../shared/data, and `t2g evaluate`."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from typing import Any

from t2g_ros.cli import main as t2g

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CAMVID = ["--frames", str(DATA / "camvid" / "val"), "--fps", "15", "--label-space", "camvid11"]
HIGHWAY = ["--video", str(DATA / "video" / "solidWhiteRight.mp4")]


def evaluate(out: Path, *arguments: str) -> dict[str, Any]:
    """Run the command, which leaves its report in `out`, and return metrics.json."""
    with redirect_stdout(stderr):  # what a benchmark prints is its own table
        failed = t2g(["evaluate", *arguments, "--out", str(out)])
    if failed:
        raise SystemExit(f"t2g evaluate {' '.join(arguments)} failed")
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics
