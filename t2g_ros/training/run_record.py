"""What a run depends on and what came of it: `<name>.run.json` beside the weights."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from t2g_ros import __version__
from t2g_ros.training.clips import ClipSource
from t2g_ros.training.config import TrainConfig
from t2g_ros.training.files import replacing

FREE = ("workers", "threads", "checkpoint_every")
"""Keys that a run may be resumed with other values of: they change nothing, or only roundings."""


def identity(config: TrainConfig, sources: list[ClipSource], frozen: str) -> dict[str, str]:
    """What a checkpoint must have in common with the run that goes on from it, by name.

    Args:
        config: the run.
        sources: opened, in the order of the config.
        frozen: hash of the frozen weights, "" without any.
    """
    record = {f.name: repr(getattr(config, f.name)) for f in fields(config) if f.name not in FREE}
    record |= {f"data of source {i}": source.fingerprint() for i, source in enumerate(sources)}
    return record | ({"frozen weights": frozen} if frozen else {})


def write_record(
    path: Path,
    config: TrainConfig,
    record: dict[str, str],
    fabric: Fabric,
    step: int,
    validation: dict[str, Any],
) -> None:
    """Write the record of a run after `step` steps; see the module."""
    values = {
        "model": config.model.name,
        "steps_done": step,
        "seed": config.seed,
        "data_sha256": {k.removeprefix("data of "): v for k, v in record.items() if k.startswith("data of ")},
        "frozen_weights_sha256": record.get("frozen weights"),
        "validation": validation,
        "processes": fabric.world_size,
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else "cpu",
        "precision": str(fabric._precision.precision),
        "versions": {"t2g_ros": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "config": asdict(config),
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
