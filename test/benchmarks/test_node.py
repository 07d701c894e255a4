"""The node's benchmark: its arithmetic by cases made by hand, and a short run over DDS with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

from live import Played
from node import figures, highest_rate, is_sustained, main, median_figures

ROOT = Path(__file__).resolve().parents[2]
MS = 1_000_000
TIMEOUT_S = 400
"""About ten times what the short run takes: five nodes start in it."""

pytestmark = pytest.mark.timeout(TIMEOUT_S + 20)


def played(latencies_ms: list[float | None], period_ms: int = 100) -> Played:
    """Images a period apart and their masks so much later; None for an image without."""
    sent = [k * period_ms * MS for k in range(len(latencies_ms))]
    arrived = {at: at + round(ms * MS) for at, ms in zip(sent, latencies_ms, strict=True) if ms is not None}
    return Played(sent, arrived, cpu_percent=50.0)


def test_what_a_stretch_shows() -> None:
    found = figures(played([20, 30, None, 40, 30]), engine_ms=12)
    assert found["published_hz"] == pytest.approx(10)
    assert found["missed_percent"] == pytest.approx(20)
    assert (found["p50"], found["p95"]) == (30, pytest.approx(38.5))
    assert found["jitter_ms"] == pytest.approx(10)  # of changes by 10, 10 and 10
    assert found["overhead_ms"] is None  # too many are missed
    assert figures(played([20, 30, 40]), engine_ms=12)["overhead_ms"] == 18
    assert figures(played([20, 30, 40]), engine_ms=None)["overhead_ms"] is None
    assert figures(played([None, None]), engine_ms=12)["p50"] is None


def test_a_rate_is_sustained_if_the_camera_reached_it_and_few_masks_are_missed() -> None:
    assert is_sustained(played([20] * 39 + [None] * 1), 10)
    assert not is_sustained(played([20] * 38 + [None] * 2), 10)  # 5 % is no less than 5 %
    assert not is_sustained(played([20] * 40), 11)


def test_a_rate_is_not_sustained_by_a_queue_that_gets_longer() -> None:
    assert is_sustained(played([500 - 40 * (k % 2) for k in range(40)]), 10)
    assert not is_sustained(played([20 + 6 * k for k in range(40)]), 10)
    assert is_sustained(played([20 + 4 * k for k in range(40)]), 10)  # within what one frame more would be


def test_the_search_closes_in_on_the_highest_rate() -> None:
    tried: list[float] = []

    def sustains(rate_hz: float) -> bool:
        tried.append(rate_hz)
        return rate_hz <= 23

    found = highest_rate(sustains, 2, 200, 1.05)
    assert found is not None
    assert 23 / 1.05 < found <= 23
    assert tried[0] == pytest.approx(20)
    assert len(tried) == 7  # 100 = 1.05 ^ 94.4, and 2 ^ 7 > 94.4
    assert highest_rate(lambda rate_hz: False, 2, 200, 1.05) is None
    highest = highest_rate(lambda rate_hz: True, 2, 200, 1.05)
    assert highest == pytest.approx(200, rel=0.05)


def test_rounds_are_summed_up_by_medians_of_what_is_known() -> None:
    rounds = [{"p50": 1.0, "overhead_ms": None}, {"p50": 9.0, "overhead_ms": 4.0}, {"p50": 2.0, "overhead_ms": None}]
    assert median_figures(rounds) == {"p50": 2.0, "overhead_ms": 4.0}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--rates", "10", "30"], "--headline 15 is none of the --rates"), (["--frames", "1"], "at least 2")],
)
def test_a_run_that_could_not_tell_its_headline_is_refused(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert text in capsys.readouterr().err


@pytest.fixture(scope="module")
def results(random_model: Path, model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("node") / "node.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "node.py"), "--model", str(random_model), "--threads", "1"]
    command += ["--size", "256x128", "--json", str(file), "--rounds", "1"]
    command += ["--rates", "10", "--headline", "10", "--frames", "10", "--warm-up", "3"]
    command += ["--lowest", "5", "--highest", "20", "--ratio", "2.5", "--trial-s", "1"]
    environment = os.environ | {
        "T2G_CACHE_DIR": str(model_cache),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| raw | 10 |" in done.stdout
    return json.loads(file.read_text())


def test_masks_come_from_the_node_whatever_it_is_fed_and_from_the_usual_one(results: dict[str, Any]) -> None:
    rows = {row["node"]: row for row in results["by_rate"]}
    assert list(rows) == ["raw", "usual", "usual, same engine", "pictures", "compressed"]
    for row in rows.values():
        assert row["missed_percent"] < 100
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
        assert 0 < row["published_hz"] < 11
        assert row["cpu_percent"] > 0


def test_the_node_s_own_part_is_told_but_not_the_usual_one_s(results: dict[str, Any]) -> None:
    raw, usual, *_ = results["by_rate"]
    assert 0 < raw["encode_plus_decode_ms"] < raw["p99"]
    assert usual["encode_plus_decode_ms"] is None


def test_the_headline_is_the_raw_camera_s_at_one_rate(results: dict[str, Any]) -> None:
    raw = results["by_rate"][0]
    assert results["latency_ms"] == {key: raw[key] for key in ("p50", "p95", "p99")}
    assert results["overhead_ms"] == raw["overhead_ms"]
    assert results["fps_sustained"] == results["fps_sustained_by_node"]["raw"]
    assert results["usual_way_fps"] == results["fps_sustained_by_node"]["usual"]
    assert results["engine"]["model"] == "tiny_test"
    assert results["input"]["size"] == "256x128"
