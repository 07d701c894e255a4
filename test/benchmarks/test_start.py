"""The benchmark of a start, with a small network and one round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

from start import main


def test_a_start_takes_at_least_its_imports(
    random_model: Path, domain_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    monkeypatch.setenv("T2G_CACHE_DIR", "")  # the benchmark sets its own
    file = tmp_path / "start.json"
    main(["--model", str(random_model), "--threads", "1", "--rounds", "1", "--json", str(file)])
    found = json.loads(file.read_text())
    assert 0 < found["import_s"] < found["import_of_the_node_s"]
    assert min(found["ready_s"], found["first_ready_s"]) > found["import_s"]
