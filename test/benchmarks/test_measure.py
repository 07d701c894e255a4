"""The arithmetic of the benchmarks by cases made by hand, and what they run on."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import inputs
import numpy as np
import pytest
from inputs import input_frames
from measure import as_table, exponent, image_size, medians_ms, percentiles, size_text, slope, write


def test_tasks_take_turns_after_a_warm_up_that_does_not_count() -> None:
    order: list[str] = []

    def slow_at_first() -> None:
        if order.count("a") < 2:
            time.sleep(0.2)
        order.append("a")

    times = medians_ms({"a": slow_at_first, "b": lambda: order.append("b")}, rounds=2, repeats=2)
    assert "".join(order) == "aabb" * 3
    assert times["a"] < 100


def test_percentiles_are_interpolated() -> None:
    assert percentiles(range(101)) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([1.0, 2.0])["p50"] == 1.5
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}


def test_the_exponent_is_that_of_a_power_law_whatever_its_factor() -> None:
    sizes = [1, 2, 4, 8]
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7, 7, 7, 7]) == pytest.approx(0)
    assert exponent([1, 10, 100], [1, 10, 10_000]) == pytest.approx(2)  # no power law: the line between
    assert exponent([4], [1]) is None


def test_the_slope_is_of_least_squares() -> None:
    assert slope([0, 1, 2], [5, 5, 8]) == pytest.approx(1.5)


def test_sizes_are_written_width_first_and_kept_height_first() -> None:
    assert image_size("1024x512") == (512, 1024)
    assert size_text((512, 1024)) == "1024x512"


def test_a_table_has_a_dash_for_what_is_not_known() -> None:
    assert as_table([{"a": 1.23456, "b": None}, {"a": 20, "b": "x"}], ("a", "b")).splitlines() == [
        "| a | b |",
        "|---|---|",
        "| 1.235 | - |",
        "| 20 | x |",
    ]


def test_the_report_tells_the_machine_and_the_versions(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "a", {"figure": 1})
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["benchmark"], found["figure"]) == ("a", 1)
    assert set(found["machine"]) == {"cpu", "cores", "memory_gb", "kernel", "gpu"}
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_gb"] > 0.1
    assert found["versions"]["numpy"] == np.__version__


def test_without_a_recording_frames_are_rendered_and_the_same_each_time(tmp_path: Path) -> None:
    once, again = (input_frames(2, (64, 128), folder=tmp_path / "absent") for _ in range(2))
    assert once.source.startswith("rendered")
    assert [frame.shape for frame in once.frames] == [(64, 128, 3)] * 2
    assert not np.array_equal(*once.frames)
    described = once.described()
    assert described == again.described()
    assert (described["frames"], described["size"]) == (2, "128x64")
    assert described["sha256"] == hashlib.sha256(b"".join(frame.tobytes() for frame in once.frames)).hexdigest()


@pytest.mark.skipif(not inputs.CAMVID.is_dir(), reason="needs ../shared/data/camvid/val")
def test_frames_of_a_recording_are_resized() -> None:
    found = input_frames(2, (64, 128))
    assert found.source == "camvid/val"
    assert [frame.shape for frame in found.frames] == [(64, 128, 3)] * 2
