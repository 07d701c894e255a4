"""The benchmark of the large network: its code on a tiny one, and its word where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from large import main, model_config


def test_the_tiny_network_runs_all_that_the_large_one_does(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    precision = "f16" if torch.cuda.is_available() else "f32"
    short = ["--rounds", "5", "--repeats", "1", "--threads", "1"]
    main(["--tiny", "--precision", precision, *short, "--json", str(file)])
    found = json.loads(file.read_text())
    per_s = {row["task"]: row["per_s"] for row in found["tasks"]}
    assert found["fps"] == per_s["frame"]
    assert found["share_of_frozen_encoders"] == pytest.approx(per_s["frame"] / per_s["frozen encoders alone"])
    assert found["speedup_over_clip"] == pytest.approx(per_s["frame"] / per_s["whole clip"])
    assert found["speedup_over_clip"] > 1.2
    assert (found["tiny"], found["engine"]["input_size"], found["engine"]["clip_frames"]) == (True, "128x64", 5)


def test_the_large_network_is_that_of_the_training_config() -> None:
    config = model_config(tiny=False)
    assert (config.name, config.input_size, config.encoder.taps) == ("t2g_large", (512, 1024), (8, 12, 16, 24))
    assert config.depth is not None
    for part in (config.encoder, config.depth):
        assert (part.architecture["num_hidden_layers"], part.architecture["hidden_size"]) == (24, 1024)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", str(tmp_path / "large.json")])
    assert "skipped: no CUDA device" in capsys.readouterr().out
    found = json.loads((tmp_path / "large.json").read_text())
    assert "CUDA" in found["skipped"]
    assert found["machine"]["gpu"] is None
