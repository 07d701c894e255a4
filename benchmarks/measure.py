"""What the benchmarks share: times taken in turns, the arithmetic on them, what they were taken on, and the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from t2g_ros import __version__
from t2g_ros.evaluation.report.results import machine as evaluated_on
from t2g_ros.runtimes import PRECISIONS, RUNTIMES, Runtime

PACKAGES = ("numpy", "opencv-python-headless", "torch", "openvino", "onnxruntime", "tensorrt", "rclpy")
Task = Callable[[], object]
Key = TypeVar("Key")


def medians_ms(tasks: dict[Key, Task], rounds: int, repeats: int) -> dict[Key, float]:
    """Median time of each task, the tasks taking turns so that a slower moment of the machine meets them all.

    Args:
        tasks: name -> what is timed; each runs `repeats` times before anything is timed.
        rounds: turns that every task gets.
        repeats: runs of a task per turn, so that it finds its own data in the caches.
    """
    times: dict[Key, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            for _ in range(repeats):
                start = time.perf_counter()
                task()
                if turn:  # the first one warms up
                    times[name].append((time.perf_counter() - start) * 1e3)
    return {name: float(np.median(values)) for name, values in times.items()}


def to_the_end(runtime: Runtime, task: Task) -> Task:
    """The task until its last result is there: what runs on a GPU returns before."""
    if runtime.gpu_memory_bytes is None:
        return task
    import torch

    def run() -> None:
        task()
        torch.cuda.synchronize()

    return run


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and p99, interpolated linearly; None of nothing."""
    percents = (50, 95, 99)
    found = np.percentile(values, percents).tolist() if len(values) else [None] * len(percents)
    return {f"p{percent}": value for percent, value in zip(percents, found, strict=True)}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """The b of cost = a * size^b that fits best, by least squares on the logarithms; None of fewer than two sizes."""
    if len(set(sizes)) < 2:
        return None
    return slope(np.log(sizes).tolist(), np.log(costs).tolist())


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of the line through the points that fits best, by least squares."""
    return float(np.polyfit(x, y, 1)[0])


def image_size(text: str) -> tuple[int, int]:
    """(height, width) of WIDTHxHEIGHT, for argparse."""
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"'{text}': expected WIDTHxHEIGHT in pixels, such as 1024x512")
    return int(height), int(width)


def size_text(size: tuple[int, int]) -> str:
    """WIDTHxHEIGHT of (height, width)."""
    return f"{size[1]}x{size[0]}"


def arguments(description: str | None, *, engine: bool = True, turns: bool = True) -> argparse.ArgumentParser:
    """The arguments that benchmarks share.

    Args:
        description: the docstring of the benchmark.
        engine: whether it lets one choose one engine.
        turns: whether it measures by `medians_ms`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the figures")
    if engine:
        parser.add_argument("--model", default="t2g_tiny", help="a shipped model's name, or a .safetensors file")
        parser.add_argument("--runtime", default="auto", choices=RUNTIMES)
        parser.add_argument("--precision", default="auto", choices=PRECISIONS)
        parser.add_argument("--threads", type=int, default=0, help="of the engine on a CPU; 0: one per core")
    if turns:
        parser.add_argument("--rounds", type=int, default=15, help="turns that every task gets")
        parser.add_argument("--repeats", type=int, default=5, help="runs of a task per turn")
    return parser


def machine() -> dict[str, Any]:
    """What the figures are measured on."""
    whole = evaluated_on(processes=1, threads=0)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": whole["cpu"],
        "cores": whole["cores"],
        "memory_gb": round(memory / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "gpu": _gpu(),
    }


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def versions() -> dict[str, str | None]:
    """Versions of what takes part in the figures, None for what is not installed."""
    own: dict[str, str | None] = {"t2g_ros": __version__, "python": platform.python_version()}
    return own | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def described(runtime: Runtime) -> dict[str, Any]:
    """The network and the engine."""
    return {
        "model": runtime.model_name,
        "runtime": runtime.name,
        "precision": runtime.precision,
        "device": runtime.device,
        "input_size": size_text(runtime.input_size),
        "clip_frames": runtime.slots,
    }


def as_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a Markdown table: numbers with four digits, None as a dash."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(_cell(row.get(column)) for column in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(file: Path | None, benchmark: str, results: dict[str, Any]) -> None:
    """Write the figures, with what they were measured on, if there is a file to write to."""
    if file is None:
        return
    everything = {"benchmark": benchmark, "machine": machine(), "versions": versions()} | results
    file.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
