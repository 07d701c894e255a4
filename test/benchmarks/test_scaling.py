"""How cost grows, run short on a small network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from measure import exponent
from scaling import main


@pytest.fixture(scope="module")
def results(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("scaling") / "scaling.json"
    engine = ["--model", str(random_model), "--runtime", "torch", "--precision", "f32", "--threads", "1"]
    points = ["--sizes", "128x64", "256x128", "--clips", "1", "4", "--cameras", "1", "2"]
    main([*engine, *points, "--rounds", "2", "--repeats", "1", "--json", str(file)])
    return json.loads(file.read_text())


def test_exponents_are_fitted_to_the_rows(results: dict[str, Any]) -> None:
    for name, series in results["series"].items():
        sizes = [row["size"] for row in series["rows"]]
        for part, found in results["exponents"][name].items():
            assert found == pytest.approx(exponent(sizes, [row[f"{part}_ms"] for row in series["rows"]]))


def test_every_series_has_its_points(results: dict[str, Any]) -> None:
    sizes = {name: [row["size"] for row in series["rows"]] for name, series in results["series"].items()}
    assert sizes == {"pixels": [64 * 128, 128 * 256], "clip_frames": [1, 4], "cameras": [1, 2]}
    assert [row["input_size"] for row in results["series"]["pixels"]["rows"]] == ["128x64", "256x128"]


def test_memory_is_proportional_to_cameras_and_clip(results: dict[str, Any]) -> None:
    assert results["series"]["cameras"]["memory_exponent"] == pytest.approx(1)
    assert results["series"]["clip_frames"]["memory_exponent"] == pytest.approx(1)
