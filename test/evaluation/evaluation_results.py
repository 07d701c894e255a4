"""Results as `t2g evaluate` makes them, for tests of what is made of them: made up, but they could be real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from t2g_ros.drawing import overlay
from t2g_ros.evaluation.report import Moment
from t2g_ros.evaluation.report.results import robustness
from t2g_ros.labels import CAMVID11, CITYSCAPES19

DRIVE = Path(__file__).resolve().parents[1] / "data" / "drive"
FAMILIES = ("fog", "frost", "snow", "spatter")
IOU = {
    "sky": 91.2,
    "building": 78.3,
    "pole": 28.4,
    "road": 94.8,
    "pavement": 81.0,
    "tree": 74.9,
    "sign": 41.7,
    "fence": 38.2,
    "car": 83.5,
    "pedestrian": 52.1,
    "bicyclist": None,
}
# What a mode changes: points of IoU, flicker and compensated flicker, seconds of latency.
MODES = {
    "memory": (0.0, 0.0, 0.0, 0.0),
    "single_frame": (-0.9, 1.6, 1.5, -2.1),
    "ema_0.5": (-1.8, -0.4, 0.2, -1.6),
    "flow_ema_0.5": (-0.3, 0.6, -0.2, 9.4),
    "flow_ema_0.8": (-0.6, -0.2, -0.9, 9.4),
}


def full_results() -> dict[str, Any]:
    """Two models, all modes, strides, jitter, drops and corruptions, on two labelled inputs."""
    models = ["t2g_tiny", "t2g_street"]
    strides = [("stride", n, False, 0.0) for n in (1, 2, 3, 5, 10)]
    conditions = [*strides, ("jitter", 3, True, 0.0), ("drop", 1, False, 0.3)]
    rows = [
        row(model, mode, f"{kind} {drop if drop else stride}", stride, jitter, drop, penalty=7.4 * index)
        for index, model in enumerate(models)
        for mode in MODES
        for kind, stride, jitter, drop in conditions
    ]
    rows += [
        row(model, mode, f"{family} {severity}", 1, False, 0.0, 7.4 * index, family, severity)
        for index, model in enumerate(models)
        for mode in ("memory", "single_frame")
        for family in FAMILIES
        for severity in range(1, 6)
    ]
    inputs = [_input("seq16E5_15Hz.mcap", 303), _input("0016E5_dusk.mcap", 101)]
    inputs[1]["lost"] = ["3 of 104 images could not be decoded, the first at 4.2 s"]
    timelines = [
        _timeline(entry["name"], "t2g_tiny", mode, entry["frames"], 15.0) for entry in inputs for mode in MODES
    ]
    return _results(models, inputs, rows, timelines)


def one_row() -> dict[str, Any]:
    """One model, one mode, one stride, no corruption, some 20,000 frames at 30 Hz."""
    inputs = [_input("long_drive", 20_000, fps=30.0)]
    timelines = [_timeline("long_drive", "t2g_tiny", "memory", 20_000, 30.0)]
    return _results(["t2g_tiny"], inputs, [row("t2g_tiny", "memory", "stride 1", 1, False, 0.0)], timelines)


def unlabelled() -> dict[str, Any]:
    """One model in two modes at three strides, on a video without ground truth."""
    conditions = [(1, "stride 1"), (2, "stride 2"), (5, "stride 5")]
    modes = ("memory", "single_frame")
    rows = [row("t2g_tiny", mode, name, n, False, 0.0) for mode in modes for n, name in conditions]
    rows += [row("t2g_tiny", mode, "fog 3", 1, False, 0.0, 0.0, "fog", 3) for mode in modes]
    of_truth = ("miou", "miou_protocol", "mvc8", "mvc16", "mvc8_vspw", "mvc16_vspw", "flicker_stable", "ece")
    for each in rows:
        each |= dict.fromkeys((*of_truth, "truth_flicker", "truth_flicker_compensated", "miou_drop"))
        unknown = {"pixels": 0, "confidence": None, "accuracy": None}
        each["calibration"] = [bin_ | unknown for bin_ in each["calibration"]]
        each |= {"reference_frames": 0, "iou": dict.fromkeys(CITYSCAPES19.names)}
    timeline = _timeline("road.mp4", "t2g_tiny", "memory", 221, 25.0)
    timeline |= {"truth_flicker": [None] * 221, "pixel_accuracy": [None] * 221}
    entry = _input("road.mp4", 221, fps=25.0) | {"labelled_frames": 0, "truth_label_space": None}
    results = _results(["t2g_tiny"], [entry], rows, [timeline])
    results["settings"] |= {
        "label_space": "cityscapes19",
        "classes": list(CITYSCAPES19.names),
        "colors": CITYSCAPES19.palette.tolist(),
    }
    return results


def many() -> dict[str, Any]:
    """Four models in three modes on nine recordings, of which one failed, by four processes, with a lag."""
    models = [f"model{n}" for n in range(4)]
    modes = list(MODES)[:3]
    rows = [
        row(model, mode, f"stride {n}", n, False, 0.0, 2.0 * index) | {"reference_frames": 42 - 2 * n}
        for index, model in enumerate(models)
        for mode in modes
        for n in (1, 2)
    ]
    inputs = [_input(f"drive{n}", 60) for n in range(9)]
    inputs[4] |= {"frames": 0, "labelled_frames": 0, "fps": None, "lost": ["its index is cut off"]}
    timelines = [_timeline(e["name"], model, "memory", 60, 15.0) for e in inputs if e["frames"] for model in models]
    results = _results(models, inputs, rows, timelines)
    results["machine"] |= {"processes": 4, "threads": 1}
    return results


def moments(inputs: Sequence[str], count: int = 6, truth: bool = True) -> list[Moment]:
    """Moments with pictures of the rendered drive; the masks are the ground truth with a block moved."""
    images = sorted((DRIVE / "images").glob("*.jpg"))[:count]
    return [_moment(image, inputs[n % len(inputs)], n, truth) for n, image in enumerate(images)]


def _moment(image: Path, source: str, number: int, truth: bool) -> Moment:
    rgb = cv2.cvtColor(cv2.resize(cv2.imread(str(image)), (480, 240)), cv2.COLOR_BGR2RGB)
    labels = cv2.imread(str(DRIVE / "labels" / f"{image.stem}.png"), cv2.IMREAD_UNCHANGED)
    labels = cv2.resize(labels, (480, 240), interpolation=cv2.INTER_NEAREST)
    mask = labels.copy()
    mask[80:160, 60:140] = labels[90:170, 100:180]
    stability = np.where(mask == labels, 255, 60).astype(np.uint8)
    pictures = {"image": rgb, "mask": overlay(rgb, mask, CITYSCAPES19)}
    if truth:
        pictures["ground truth"] = overlay(rgb, labels, CITYSCAPES19)
    pictures["stability"] = cv2.merge([stability] * 3)
    what = f"flicker {17.3 - number:.1f} %" + (f" (ground truth {4.1 - number / 10:.1f} %)" if truth else "")
    encoded = {
        caption: cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
        for caption, picture in pictures.items()
    }
    return Moment(source, 1.2 + 0.6 * number, image.stem, what, encoded)


def row(
    model: str,
    mode: str,
    condition: str,
    stride: int,
    jitter: bool,
    drop: float,
    penalty: float = 0.0,
    corruption: str | None = None,
    severity: int | None = None,
) -> dict[str, Any]:
    points, flicker, compensated, latency = MODES[mode]
    far = stride / (1 - drop) - 1 + (0.7 if jitter else 0)
    lost = 0.55 * far * (0.6 if mode == "memory" else 1.0)
    if corruption and severity:
        lost += (2.1 + FAMILIES.index(corruption)) * severity
    iou = {name: None if v is None else max(v + points - penalty - lost * 1.2, 0.0) for name, v in IOU.items()}
    present = [v for v in iou.values() if v is not None]
    miou = float(np.mean(present))
    p50 = 20.1 + latency + penalty / 2
    stages = {"preprocess": 0.11, "encode": 0.55, "decode": 0.26, "postprocess": 0.08, "total": 1.0}
    counts = [round(3000 * float(np.exp(-(((edge - 8) / 2.4) ** 2)))) for edge in range(40)]
    bins = [(m / 15, (m + 1) / 15) for m in range(15)]
    return {
        "model": model,
        "mode": mode,
        "condition": condition,
        "stride": stride,
        "jitter": jitter,
        "drop": drop,
        "corruption": corruption,
        "severity": severity,
        "masks": round(404 / (far + 1)),
        "reference_frames": 40,
        "miou": miou,
        "miou_protocol": miou + 0.3,
        "mvc8": 83.26 + points - penalty - lost,
        "mvc16": 77.9 + points - penalty - lost,
        "mvc8_vspw": 90.1 + points - penalty / 2 - lost,
        "mvc16_vspw": 86.4 + points - penalty / 2 - lost,
        "tc": 78.4 - 2 * compensated - lost,
        "flicker": 5.63 + flicker + 1.9 * far + penalty / 8 + lost / 10,
        "flicker_compensated": 3.58 + compensated + 0.6 * far + penalty / 8 + lost / 4,
        "flicker_stable": 2.9 + compensated + 0.3 * far,
        "ece": 4.17 + lost / 8,
        "truth_flicker": 3.24 + 1.8 * far,
        "truth_flicker_compensated": 1.38 + 0.5 * far,
        "iou": iou,
        "miou_drop": lost * 1.2,
        "calibration": [
            {
                "above": low,
                "up_to": high,
                "pixels": 0 if low < 0.1 else round(1e5 * high**6),
                "confidence": None if low < 0.1 else (low + high) / 2,
                "accuracy": None if low < 0.1 else min(1.0, ((low + high) / 2) ** 1.2),
            }
            for low, high in bins
        ],
        "latency_ms": {
            stage: {"p50": share * p50, "p95": share * p50 * 1.31, "p99": share * p50 * 1.62}
            for stage, share in stages.items()
        },
        "latency_histogram": {
            "edges_ms": [p50 - 8 + n for n in range(41)],
            "counts": counts,
            "beyond": 2,
            "longest_ms": 6 * p50,
        },
        "resets": {"gap": 1} if mode == "memory" else {},
    }


def _timeline(source: str, model: str, mode: str, frames: int, fps: float) -> dict[str, Any]:
    rng = np.random.default_rng(frames + list(MODES).index(mode))
    _, flicker, compensated, _ = MODES[mode]
    phase = np.arange(frames) / frames * 12
    motion = 3.2 + 1.4 * np.sin(phase) + rng.normal(0, 0.2, frames)
    raw = np.maximum(motion + 2.4 + flicker + np.abs(rng.normal(0, 0.5, frames)), 0)
    raw[frames // 3] = 17.3
    still = np.maximum(raw - 0.6 * motion + compensated - flicker, 0.1)
    return {
        "input": source,
        "model": model,
        "mode": mode,
        "condition": "stride 1",
        "time_s": [n / fps for n in range(frames)],
        "flicker": [None, *raw[1:].tolist()],
        "flicker_compensated": [None, *still[1:].tolist()],
        "truth_flicker": [None, *np.maximum(motion, 0)[1:].tolist()],
        "pixel_accuracy": (92 - raw / 2).tolist(),
    }


def _input(name: str, frames: int, fps: float = 15.0) -> dict[str, Any]:
    return {
        "name": name,
        "sha256": "3f" * 32,
        "frames": frames,
        "labelled_frames": frames,
        "fps": fps,
        "truth_label_space": "camvid11",
        "lost": [],
        "assumptions": [],
    }


def _results(
    models: list[str], inputs: list[dict[str, Any]], rows: list[dict[str, Any]], timelines: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "schema": "t2g_ros.evaluation/2",
        "created": "2026-11-23T18:57:12+00:00",
        "command": [
            "t2g",
            "evaluate",
            *(e["name"] for e in inputs),
            "--strides",
            "1,2,3,5,10",
            "--out",
            "out/evaluate",
        ],
        "versions": {
            "t2g_ros": "0.1.0",
            "python": "3.11.2",
            "numpy": "2.4.6",
            "opencv": "5.0.0",
            "torch": "2.13.0",
            "openvino": "2026.4.1",
            "rosbags": None,
        },
        "machine": {
            "cpu": "Intel(R) Xeon(R) Platinum 8481C",
            "cores": 2,
            "os": "Debian GNU/Linux 12",
            "processes": 1,
            "threads": 0,
        },
        "inputs": inputs,
        "models": [
            {
                "model": model,
                "sha256": "ab" * 32,
                "runtime": "openvino",
                "precision": "bf16",
                "device": "cpu",
                "input_size": [512, 1024],
                "slots": 5,
            }
            for model in models
        ],
        "settings": {
            "label_space": "camvid11",
            "classes": list(CAMVID11.names),
            "colors": CAMVID11.palette.tolist(),
            "flow": "OpenCV DIS, medium preset, at half size, checked forward against backward to 1 pixel",
            "clip_span_s": 1.0,
            "max_gap_s": 2.0,
            "lag_frames": 0,
        },
        "rows": rows,
        "robustness": robustness(rows),
        "timelines": timelines,
        "throughput": {"frames_per_s": 38.42, "wall_s": 412.6},
    }
