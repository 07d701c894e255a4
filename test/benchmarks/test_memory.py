"""The memory benchmark: its arithmetic, and a short run on a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from memory import growth, main, resident_mb


def test_a_leak_shows_as_growth_and_slope() -> None:
    assert growth([500, 600, 700], [10, 11, 12]) == {
        "growth_mb": 2,
        "slope_mb_per_1000_frames": pytest.approx(10),
    }
    assert growth([0, 1000, 2000], [5, 9, 5]) == {"growth_mb": 0, "slope_mb_per_1000_frames": pytest.approx(0)}
    assert growth([500], [10])["growth_mb"] is None


def test_what_is_held_is_seen() -> None:
    before = resident_mb()
    held = bytearray(b"\1" * 50_000_000)
    assert 40 < resident_mb() - before < 70
    assert len(held) == 50_000_000


def test_a_short_run(random_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    engine = ["--model", str(random_model), "--runtime", "torch", "--precision", "f32", "--threads", "1"]
    main([*engine, "--frames", "12", "--warm-up", "6", "--every", "4", "--json", str(file)])
    found = json.loads(file.read_text())
    assert found["samples"]["frame"] == [6, 10, 11]
    resident = found["samples"]["rss_mb"]
    assert found["rss_growth_mb"] == resident[-1] - resident[0]
    assert found["rss_peak_mb"] > 0.99 * max(resident)
    assert abs(found["rss_growth_mb"]) < 100
    assert found["clip_memory_mib"] > 0
    assert found["gpu_growth_mb"] is None or found["gpu_mb"] > 0


def test_a_run_that_would_measure_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--frames", "5", "--warm-up", "5"])
    assert "--warm-up 5 leaves nothing of --frames 5" in capsys.readouterr().err
