"""A small labelled drive that every training test can afford."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Eight frames of a bright car in front of a dark road under a sky, as a CamVid-11 folder of 30 Hz frames."""
    folder = tmp_path / "drive"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for i in range(8):
        labels = np.zeros((96, 160), np.uint8)  # sky
        labels[40:] = 3  # road
        labels[60:80, 20 + 8 * i : 50 + 8 * i] = 8  # car
        labels[:2] = 255
        colours = np.zeros((256, 3), np.uint8)
        colours[[0, 3, 8]] = [(230, 200, 160), (80, 80, 80), (30, 40, 220)]
        cv2.imwrite(str(folder / "images" / f"a_{30 * i:05d}.png"), colours[labels])
        cv2.imwrite(str(folder / "labels" / f"a_{30 * i:05d}.png"), labels)
    return folder


@pytest.fixture
def config_file(tmp_path: Path, drive: Path) -> Path:
    """A training config over that drive that takes seconds."""
    values = {
        "model": {"name": "tiny", "labels": "cityscapes19", "input_size": [128, 192], "width": 16, "query_rank": 4},
        "augment": {"crop": [64, 128], "scale": [0.8, 1.1]},
        "sources": [
            {"kind": "video", "weight": 1, "path": drive.name, "labels": "camvid11"},
            {"kind": "stills", "weight": 1, "path": drive.name, "labels": "camvid11"},
        ],
        "validation": [{"path": drive.name, "labels": "camvid11", "every_nth": 4}],
        "steps": 6,
        "clips_per_step": 2,
        "frames_per_clip": 3,
        "warmup_steps": 2,
        "validate_every": 3,
        "checkpoint_every": 2,
        "threads": 1,
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path
