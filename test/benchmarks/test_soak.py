"""The soak: its arithmetic by cases made by hand, and a short run with real nodes and cameras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

from soak_camera import Sent, read_log
from soak_figures import drift_ms, recovery_s, unaccounted, wrong_stamps

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 400
"""About ten times what the short run takes."""

pytestmark = pytest.mark.timeout(TIMEOUT_S + 20)
MODEL_SIZE = (64, 128)
OUTCOMES = ("segmented", "dropped", "rejected", "failed", "waiting", "skipped_paused", "skipped_reset")


def sent(frame_id: str, stamp_ns: int = 5, fault: str = "", masked: bool = True) -> Sent:
    return Sent(stamp_ns, frame_id, 480, 640, 0, fault, masked)


def test_frames_received_are_those_that_something_came_of() -> None:
    values = {"frames_received": "28", "frames_lost": "9", "state": "ok", **{f"frames_{o}": "4" for o in OUTCOMES}}
    assert unaccounted(values) == 0
    assert unaccounted(values | {"frames_dropped": "1"}) == 3
    assert unaccounted(values | {"frames_segmented": "5"}) == -1


def test_a_mask_is_right_only_under_its_image_s_stamp_name_and_size() -> None:
    images = [sent("a"), sent("b", 6), sent("bad", 7, "wrong_step", False), sent("again", 5)]
    right = [(5, "a", 480, 640), (6, "b", 64, 128), (5, "again", 480, 640)]
    assert wrong_stamps(right, images, MODEL_SIZE) == []
    for mask, text in (
        ((6, "a", 480, 640), "no such image"),
        ((7, "bad", 480, 640), "a mask of an image with wrong_step"),
        ((5, "a", 480, 641), "641x480 for 640x480"),
        (right[0], "twice"),
    ):
        (told,) = wrong_stamps([*right, mask], images, MODEL_SIZE)
        assert text in told


def test_latency_drifts_between_the_second_and_the_last_quarter() -> None:
    latencies = [(0.0, 900.0), (30.0, 10.0), (40.0, 12.0), (60.0, 500.0), (80.0, 15.0), (90.0, 19.0)]
    assert drift_ms(latencies, 100) == {"early": 11, "late": 17, "drift": 6}
    assert drift_ms(latencies[:3], 100)["drift"] is None


def test_recovery_is_from_the_end_of_a_fault_to_the_next_mask() -> None:
    masks = [2_500_000_000, 1_000_000_000, 9_000_000_000]
    found = recovery_s([500_000_000, 2_000_000_000, 3_000_000_000, 9_500_000_000], masks)
    assert (found["median"], found["longest"], found["never"]) == (0.5, 6.0, 1)
    assert recovery_s([5], []) == {"median": None, "p95": None, "longest": None, "never": 1}


def test_the_log_of_a_camera_that_was_killed_can_be_read(tmp_path: Path) -> None:
    assert read_log(tmp_path / "none.csv") == []
    (tmp_path / "log.csv").write_text("5,a,480,640,0,,1\r\n6,b,480,640,1,wrong_step,0\r\n7,c,48")
    assert read_log(tmp_path / "log.csv") == [sent("a"), Sent(6, "b", 480, 640, 1, "wrong_step", False)]


def test_a_short_run(random_model: Path, model_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--minutes", "1", "--seed", "3"]
    command += ["--model", str(random_model), "--threads", "1", "--size", "256x128", "--json", str(file)]
    environment = os.environ | {
        "T2G_CACHE_DIR": str(model_cache),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert (found["restarts"], found["wrong_stamps"], found["unaccounted"], found["seed"]) == (0, 0, 0, 3)
    assert isinstance(found["rss_slope_mb_per_h"], float)
    for node in found["by_node"].values():
        assert set(node["recovery_s"]) == {"median", "p95", "longest", "never"}
    assert len(found["faults"]) > 10
    for node in found["by_node"].values():
        assert 0 < node["masks"] == node["frames_segmented"] <= node["frames_received"] <= node["frames_sent"]
        assert node["frames_rejected"] > 0
