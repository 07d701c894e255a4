"""Where the argmax is taken, run short on a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from argmax import main
from recordings import make_folder

from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import remap_table, space
from t2g_ros.runtimes import load_runtime
from t2g_ros.sources import open_source

pytest.importorskip("openvino")


def test_the_stride_that_ships_has_the_accuracy_of_the_masks_that_are_published(
    random_model: Path, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "recording", ["a", "b", "c"], highest_id=10)
    engine = ["--model", str(random_model), "--runtime", "torch", "--precision", "f32", "--threads", "1"]
    short = ["--rounds", "1", "--repeats", "1", "--recording", str(folder), "--json", str(tmp_path / "found.json")]
    main([*engine, *short])
    rows = {row["stride"]: row for row in json.loads((tmp_path / "found.json").read_text())["rows"]}
    assert list(rows) == [4, 2, 1]
    assert [stride for stride, row in rows.items() if row["ships"]] == [2]
    assert all(row["sum_ms"] == row["argmax_ms"] + row["to_image_ms"] > 0 for row in rows.values())

    runtime = load_runtime(random_model, runtime="torch", precision="f32", threads=1)
    segmenter, matrix = StreamSegmenter(runtime), ConfusionMatrix(11)
    table = remap_table(runtime.labels, space("camvid11"))
    for item in open_source(frames=folder, fps=15, label_space="camvid11"):
        segmentation = segmenter.step(item.frame)
        assert segmentation is not None
        assert item.labels is not None
        matrix.update(table[segmentation.labels], item.labels)
    assert rows[2]["miou"] == pytest.approx(100 * matrix.miou())
