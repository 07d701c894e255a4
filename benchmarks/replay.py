"""`t2g evaluate` on real drives, and what it costs beside the bare network; the replay figures of the README.

Run on an idle machine: `python benchmarks/replay.py [--out DIR] [--json FILE]`. Needs ../shared/data.
camvid/val at 15 Hz with all strides, jitter, dropped frames, corruptions and baselines; solidWhiteRight.mp4, which
has no labels. The ratio compares frames per second of the evaluation (reading, metrics, then also the overlay video)
with a loop over frames that lie in memory, turn by turn in one run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import write
from real_drives import CAMVID, DATA, HIGHWAY, evaluate

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.sources import open_source

STRIDES = ["--strides", "1,2,3,5,10", "--jitter", "3", "--drop", "0.3", "--baselines"]
WEATHER = ["--corruptions", "all", "--severities", "1-5", "--no-overlay"]
ROUNDS = 5
MODES = "memory", "single_frame", "ema_0.5"
"""Of those that run, what a cell of the README has room for."""


def bare_fps(runtime: Runtime) -> float:
    """Frames per second of the network alone on camvid/val."""
    frames = [item.frame for item in open_source(frames=DATA / "camvid" / "val", fps=15, label_space="camvid11")]
    segmenter = StreamSegmenter(runtime)
    start = time.perf_counter()
    for frame in frames:
        segmenter.step(frame)
    return len(frames) / (time.perf_counter() - start)


def speeds(runtime: Runtime, out: Path) -> tuple[float, float, float]:
    """Frames per second of the bare network, of the evaluation without overlay video, and of all of it."""
    judged, shown = (evaluate(out, *CAMVID, *more)["throughput"]["frames_per_s"] for more in (["--no-overlay"], []))
    return bare_fps(runtime), judged, shown


def as_readme(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """The README's table: one line per condition, in every cell the `MODES`."""
    lines = [f"| {' | '.join(['', *columns.values()])} |", "|---" * (len(columns) + 1) + "|"]
    for condition in dict.fromkeys(row["condition"] for row in rows):
        modes = [row for mode in MODES for row in rows if (row["condition"], row["mode"]) == (condition, mode)]
        cells = [" / ".join("-" if row[key] is None else f"{row[key]:.1f}" for row in modes) for key in columns]
        lines.append(f"| {' | '.join([condition, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/replay"), help="folder for the reports")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    runtime = load_runtime("t2g_tiny")
    rounds = np.array([speeds(runtime, args.out / "speed") for _ in range(ROUNDS)])
    bare, judged, shown = np.median(rounds, axis=0)
    ratios = rounds[:, 1:] / rounds[:, :1]
    results: dict[str, Any] = {
        "bare_fps": float(bare),
        "evaluate_fps": float(judged),
        "evaluate_with_overlay_fps": float(shown),
        "evaluate_over_bare": float(np.median(ratios[:, 0])),
        "evaluate_with_overlay_over_bare": float(np.median(ratios[:, 1])),
        "camvid": evaluate(args.out / "camvid", *CAMVID, *STRIDES),
        "camvid_farneback": evaluate(args.out / "camvid_farneback", *CAMVID, "--baselines", "--flow", "farneback"),
        "camvid_weather": evaluate(args.out / "camvid_weather", *CAMVID, *WEATHER),
        "highway": evaluate(args.out / "highway", *HIGHWAY, *STRIDES),
    }
    print(f"bare loop {bare:.1f} frames/s; medians of {ROUNDS} rounds, worst in brackets:")
    for what, fps, ratio in zip(
        ("reading and metrics", "and the overlay video"), (judged, shown), ratios.T, strict=True
    ):
        print(f"with {what} {fps:.1f}: {100 * np.median(ratio):.0f} % of it ({100 * ratio.min():.0f} %)")
    columns = {"flicker": "flicker", "flicker_compensated": "compensated", "tc": "TC"}
    print(as_readme(results["camvid"]["rows"], {"miou": "mIoU", "mvc8": "mVC8", "mvc16": "mVC16"} | columns))
    print(as_readme(results["highway"]["rows"], columns))
    write(args.json, "replay", results)


if __name__ == "__main__":
    main()
