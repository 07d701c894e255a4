"""The benchmark of several cameras: its arithmetic, and a short run over DDS with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

from cameras import main, summed_up

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
"""About ten times what the short run takes: three nodes start in it."""


def row(cameras: int, arrangement: str, fps: float, mb: float) -> dict[str, Any]:
    return {
        "cameras": cameras,
        "arrangement": arrangement,
        "fps": fps,
        "cpu_ms_per_mask": 9.0,
        "rss_mb": mb,
        "pss_mb": mb / 2,
    }


def test_what_one_node_is_to_a_node_each_and_what_a_camera_adds() -> None:
    rows = [row(1, "one node", 10, 100), row(1, "a node each", 10, 100)]
    rows += [row(3, "one node", 9, 140), row(3, "a node each", 6, 300)]
    found = summed_up(rows)
    ratios = found["one_node_over_a_node_each"]
    assert ratios["1"] == {"fps": 1, "cpu_ms_per_mask": 1, "rss_mb": 1, "pss_mb": 1}
    assert ratios["3"]["fps"] == pytest.approx(1.5)
    assert ratios["3"]["rss_mb"] == pytest.approx(140 / 300)
    assert found["a_camera_more_mb"]["one node"] == {"rss_mb": 20, "pss_mb": 10}
    assert found["a_camera_more_mb"]["a node each"] == {"rss_mb": 100, "pss_mb": 50}
    assert summed_up(rows[:2])["a_camera_more_mb"] == {}


def test_no_cameras_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--cameras", "0"])
    assert "expected 1 or more" in capsys.readouterr().err


@pytest.mark.timeout(TIMEOUT_S + 20)
def test_every_camera_has_masks_in_either_arrangement(random_model: Path, model_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "cameras.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "cameras.py"), "--model", str(random_model), "--threads", "1"]
    command += ["--size", "256x128", "--cameras", "2", "--rounds", "1", "--seconds", "2", "--warm-up-s", "0.5"]
    environment = os.environ | {
        "T2G_CACHE_DIR": str(model_cache),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*command, "--json", str(file)], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(file.read_text())
    rows = {each["arrangement"]: each for each in results["by_cameras"]}
    assert list(rows) == ["one node", "a node each"]
    for each in rows.values():
        assert each["cameras"] == 2
        assert 0 < each["slowest_camera_fps"] <= each["fps"] / 2 <= each["fastest_camera_fps"]
        assert each["cpu_ms_per_mask"] > 0
        assert each["rss_mb"] >= each["pss_mb"] > 0
    ratios = results["one_node_over_a_node_each"]["2"]
    assert ratios["rss_mb"] == pytest.approx(rows["one node"]["rss_mb"] / rows["a node each"]["rss_mb"])
    assert ratios["rss_mb"] < 1
