"""The ablation: every row is a training config that loads, and the table shows what was found."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from ablation import CONFIG, ROWS, SOURCES, overrides, start_overrides, table

from t2g_ros.training.config import TrainConfig, load_train_config

ARGS = argparse.Namespace(out=Path("out/ablation"), steps=9, more=7)
TRAINED = [row for row in ROWS if row.weights_of is None]


def config(name: str, source: str) -> TrainConfig:
    (row,) = (row for row in ROWS if row.name == name)
    return load_train_config(CONFIG, overrides(row, source, 3, ARGS))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("row", [row.name for row in TRAINED])
def test_every_row_is_a_config(row: str, source: str) -> None:
    loaded = config(row, source)
    assert (loaded.seed, loaded.steps) == (3, 7)
    assert loaded.clips_per_step * loaded.frames_per_clip == 9  # as many images for every row


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_goes_on_from_one_network_without_memory(source: str) -> None:
    start = load_train_config(CONFIG, start_overrides(source, ARGS))
    assert (start.steps, start.init, start.model.pixel_memory) == (9, "", False)
    begins = {config(row.name, source).init for row in TRAINED}
    assert [Path(begin).parts[-4:-1] for begin in begins] == [(source, "0", "start")]


def test_every_row_adds_one_part() -> None:
    single, fixed, strides, consistency, queries, pixels = (config(row.name, "camvid") for row in TRAINED)
    assert (single.frames_per_clip, fixed.frames_per_clip) == (1, 3)
    assert all(len(source.strides) == 1 for source in fixed.sources)
    assert strides.sources[1].strides == ()
    assert strides.memory_drop > fixed.memory_drop == 0
    assert consistency.consistency_weight > strides.consistency_weight == 0
    for one in (single, fixed, strides, consistency):
        assert not one.model.stability_queries
    assert queries.model.stability_queries
    assert pixels.model.stability_queries
    assert [c.model.pixel_memory for c in (consistency, queries, pixels)] == [False, False, True]


def test_the_table_has_a_line_per_row_and_means_over_seeds(tmp_path: Path) -> None:
    def record(row: str, seed: int, rows: list[dict[str, Any]]) -> None:
        folder = tmp_path / "kitti" / str(seed) / row.replace(" ", "_")
        folder.mkdir(parents=True)
        (folder / "t2g_tiny.run.json").write_text("{}")  # beside the results lies the record of the training
        (folder / "camvid_val.json").write_text(json.dumps({"target": "camvid/val", "rows": rows}))

    def figures(mode: str, *mious: float) -> list[dict[str, Any]]:
        other = {"mvc8": 90.0, "flicker": 5.0, "flicker_compensated": 4.0, "flicker_stable": None}
        return [{"mode": mode, "miou": miou, **other} for miou in mious]

    record("single frame", 0, figures("single_frame", 50, 49, 48) + figures("ema_0.5", 51, 40, 30))
    record("single frame", 1, figures("single_frame", 54, 49, 48))
    record("+ pixel memory", 0, figures("memory", 60, 59, 58))
    lines = table("kitti", tmp_path).splitlines()
    assert lines[0] == "### kitti -> camvid/val"
    assert "| single frame | 2 | 52.0 ± 2.8 / 49.0 ± 0.0 / 48.0 ± 0.0 | 90.0" in lines[4]
    assert "| + EMA 0.5 | 1 | 51.0 / 40.0 / 30.0 |" in lines[5]
    assert "| + pixel memory | 1 | 60.0 / 59.0 / 58.0 |" in lines[6]
    assert lines[6].endswith("| - / - / - |")
