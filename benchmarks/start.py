"""How long a start takes: `import t2g_ros`, and the node from its process's start until it waits for images.

Run on an idle machine: `python benchmarks/start.py [--model M] [--runtime R] [--precision P] [--json FILE]`.

The first start of the node converts the model into an empty cache, those that follow read it from there. Each is a
process of its own; figures of warm starts are medians over rounds. Files are in the kernel's cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from measure import arguments, as_table, write

from t2g_ros.demo.process import Process

NAMESPACE = "/t2g_benchmark"
READY = "active: waiting for images"
READY_TIMEOUT_S = 600.0
IMPORTS = ("t2g_ros", "t2g_ros.ros.node")


def import_s(module: str) -> float:
    """Seconds that a fresh interpreter takes to import a module."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def ready_s(command: list[str], log: Path) -> float:
    """Seconds from the node's start until it waits for images.

    Raises:
        DemoError, RuntimeError: it ended instead.
        TimeoutError: it did not come so far.
    """
    start = time.perf_counter()
    with Process("node", command, log) as node:
        while READY not in log.read_text():
            if not node.is_running():
                raise RuntimeError(f"the node ended by itself: {log.read_text()[-1000:]}")
            if time.perf_counter() - start > READY_TIMEOUT_S:
                raise TimeoutError(f"the node was not ready within {READY_TIMEOUT_S:.0f} s: {log.read_text()[-1000:]}")
            time.sleep(0.005)
        found = time.perf_counter() - start
        node.stop()
    return found


def argv(args: argparse.Namespace) -> list[str]:
    """The command line of the node."""
    parameters = {key: getattr(args, key) for key in ("model", "runtime", "precision", "threads")}
    settings = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    return [sys.executable, "-m", "t2g_ros.ros.segment_node", "--ros-args", "-r", f"__ns:={NAMESPACE}", *settings]


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the figures."""
    parser = arguments(__doc__, turns=False)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(args)
    with TemporaryDirectory(prefix="t2g_ros-") as folder:
        os.environ["T2G_CACHE_DIR"] = str(Path(folder) / "cache")
        times = [ready_s(argv(options), Path(folder) / f"{k}.log") for k in range(1 + options.rounds)]
    imports = {module: median(import_s(module) for _ in range(options.rounds)) for module in IMPORTS}
    figures = {
        **{key: getattr(options, key) for key in ("model", "runtime", "precision", "threads")},
        "import_s": imports["t2g_ros"],
        "import_of_the_node_s": imports["t2g_ros.ros.node"],
        "first_ready_s": times[0],
        "ready_s": median(times[1:]),
    }
    print(as_table([figures], tuple(figures)))
    write(options.json, "start", figures)


if __name__ == "__main__":
    main()
