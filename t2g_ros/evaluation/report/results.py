"""From counts to `metrics.json`; `metrics.schema.json` beside this file says what every key means."""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from t2g_ros import __version__
from t2g_ros.cores import cores
from t2g_ros.evaluation.metrics.calibration import Calibration
from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.evaluation.metrics.temporal import TemporalConsistency
from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import MEANS, Counts
from t2g_ros.evaluation.replay.loop import Run
from t2g_ros.labels import LabelSpace

PERCENTILES = (50, 95, 99)
TRUTH_SHARE = 0.9
"""With labels on fewer of the pairs the truth's flicker would stand beside that of other frames."""
HISTOGRAM_BINS = 40
PACKAGES = ("torch", "openvino", "rosbags")


def row(run: Run, condition: Condition, counts: Counts, space: LabelSpace) -> dict[str, Any]:
    """Return the figures of one model and mode under one condition; shares in percent, None where there is nothing."""
    confusion, tc, calibration = ConfusionMatrix(len(space)), TemporalConsistency(len(space)), Calibration()
    confusion.matrix, tc.confusion.matrix, calibration.counts = counts.confusion, counts.tc, counts.calibration
    iou = confusion.iou()
    hit = iou[iou > 0]
    figures = {name: counts.means[name].value for name in MEANS}
    if counts.means["truth_flicker"].count < TRUTH_SHARE * counts.means["flicker"].count:
        figures |= {"truth_flicker": float("nan"), "truth_flicker_compensated": float("nan")}
    figures |= {
        "miou": confusion.miou(),
        "miou_protocol": float(hit.mean()) if hit.size else float("nan"),
        "tc": tc.tc(),
        "ece": calibration.ece(),
    }
    return {
        "model": run.model,
        "mode": run.mode,
        "condition": condition.name,
        "stride": condition.stride,
        "jitter": condition.jitter,
        "drop": condition.drop,
        "corruption": condition.corruption,
        "severity": condition.severity,
        "masks": counts.masks,
        "reference_frames": counts.reference_frames,
        **{name: percent(value) for name, value in figures.items()},
        "iou": {name: percent(value) for name, value in zip(space.names, iou, strict=True)},
        "miou_drop": None,
        "calibration": [
            {
                "above": round(b.above, 4),
                "up_to": round(b.up_to, 4),
                "pixels": b.pixels,
                "confidence": _number(b.confidence),
                "accuracy": _number(b.accuracy),
            }
            for b in calibration.table()
        ],
        **_latency(counts.stage_ms),
        "resets": dict(counts.resets),
    }


def add_drops(rows: list[dict[str, Any]]) -> None:
    """Fill in how many points of mIoU each row loses against stride 1, uncorrupted, of the same model and mode."""
    bases = {(r["model"], r["mode"]): r for r in rows if r["condition"] == "stride 1"}
    for each in rows:
        base = bases[each["model"], each["mode"]]
        # A lag costs every stream its last frames; on other frames a difference says nothing.
        if base["miou"] is not None and each["reference_frames"] == base["reference_frames"]:
            each["miou_drop"] = round(base["miou"] - each["miou"], 3)


def robustness(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What all corruptions together leave of each model and mode: mean performance under corruption (mPC) and its share
    of the clean one (rPC), as Michaelis et al., "Benchmarking Robustness in Object Detection" (arXiv 1907.07484), of
    mIoU. Empty without corruptions or ground truth.
    """
    found = []
    for model, mode in dict.fromkeys((r["model"], r["mode"]) for r in rows):
        own = [r for r in rows if (r["model"], r["mode"]) == (model, mode)]
        clean = next(r["miou"] for r in own if r["condition"] == "stride 1")
        corrupted = [r for r in own if r["corruption"] is not None]
        if not corrupted or not clean:
            continue
        mean = sum(r["miou"] for r in corrupted) / len(corrupted)
        found.append(
            {
                "model": model,
                "mode": mode,
                "families": list(dict.fromkeys(r["corruption"] for r in corrupted)),
                "severities": sorted({r["severity"] for r in corrupted}),
                "miou": round(mean, 3),
                "share_of_clean": round(100 * mean / clean, 3),
            }
        )
    return found


def versions() -> dict[str, str | None]:
    """Versions of what takes part in the figures, None for what is not installed."""
    own = {"t2g_ros": __version__, "python": platform.python_version()}
    return own | {"numpy": np.__version__, "opencv": cv2.__version__} | {name: _version(name) for name in PACKAGES}


def machine(processes: int, threads: int) -> dict[str, Any]:
    """What the figures were computed on, and by how many processes at once with how many threads (0: one per core)."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass  # not Linux
    system = platform.platform(terse=True)
    return {"cpu": cpu, "cores": cores(), "os": system, "processes": processes, "threads": threads}


def percent(share: float) -> float | None:
    """A share of 0..1 in percent, None for nan."""
    return _number(100 * share, 3)


def _number(value: float, digits: int = 4) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _latency(stage_ms: dict[str, list[float]]) -> dict[str, Any]:
    times = {stage: np.array(values) for stage, values in stage_ms.items()}
    if not times:
        return {
            "latency_ms": {},
            "latency_histogram": {"edges_ms": [], "counts": [], "beyond": 0, "longest_ms": None},
        }
    times["total"] = np.sum(list(times.values()), axis=0)
    total = times["total"]
    # Frames that took longer are in no bin, so that one slow frame does not squeeze the rest into one bar.
    top = max(1.5 * float(np.percentile(total, 95)), 0.1)
    counts, edges = np.histogram(total, HISTOGRAM_BINS, (0, top))
    return {
        "latency_ms": {
            stage: {f"p{p}": round(float(np.percentile(values, p)), 3) for p in PERCENTILES}
            for stage, values in times.items()
        },
        "latency_histogram": {
            "edges_ms": np.round(edges, 3).tolist(),
            "counts": counts.tolist(),
            "beyond": len(total) - int(counts.sum()),
            "longest_ms": round(float(total.max()), 3),
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
