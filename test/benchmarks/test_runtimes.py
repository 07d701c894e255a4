"""The comparison of engines, run short on a small network."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# By path: `runtimes` is also the name of a folder of tests.
BENCHMARK = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "runtimes.py"))


@pytest.fixture(scope="module")
def rows(
    random_model: Path, model_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], dict[str, Any]]:
    file = tmp_path_factory.mktemp("runtimes") / "runtimes.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2G_CACHE_DIR", str(model_cache))
        engines = ["--runtimes", "torch", "openvino", "--precisions", "f32", "f16", "--threads", "1"]
        short = ["--sizes", "256x128", "--images", "3", "--rounds", "2", "--repeats", "1"]
        BENCHMARK["main"](["--model", str(random_model), *engines, *short, "--json", str(file)])
    return {(row["runtime"], row["precision"]): row for row in json.loads(file.read_text())["rows"]}


def test_what_loads_has_times_and_agrees_with_torch(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    torch = rows["torch", "f32"]
    assert torch["agreement_percent"] == 100
    assert 0 < torch["encode_ms"] < torch["sum_ms"] == pytest.approx(torch["encode_ms"] + torch["decode_ms"])
    pytest.importorskip("openvino")
    assert rows["openvino", "f32"]["agreement_percent"] > 98


def test_what_does_not_load_says_why(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    row = rows["openvino", "f16"]
    assert "encode_ms" not in row
    assert "openvino" in row["reason"]


def test_agreement_is_of_all_pixels() -> None:
    expected = np.array([[[1, 2], [3, 4]]], np.uint8)
    assert BENCHMARK["agreement_percent"](np.array([[[1, 2], [3, 5]]], np.uint8), expected) == 75
