"""Whether a model's files are still what they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from t2g_ros.runtimes import model_files
from t2g_ros.runtimes.model_files import ModelFiles


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(b"first")
    return tmp_path / "weights"


def test_other_contents_are_a_change_until_they_are_back(weights: Path, tmp_path: Path) -> None:
    files = ModelFiles([weights, tmp_path / "none"])
    assert not files.changed()
    weights.write_bytes(b"other")
    assert files.changed()
    os.utime(weights)
    assert files.changed()
    weights.write_bytes(b"first")
    assert not files.changed()
    os.rename(weights, tmp_path / "away")
    assert files.changed()
    os.rename(tmp_path / "away", weights)
    assert not files.changed()


def test_a_change_is_seen_although_another_file_is_added_after_it(weights: Path, tmp_path: Path) -> None:
    files = ModelFiles([weights])
    weights.write_bytes(b"other")
    (tmp_path / "graph").write_bytes(b"graph")
    files.add([tmp_path / "graph"])
    assert files.changed()


def test_a_file_is_read_again_only_when_it_was_touched(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ModelFiles([weights])
    read: list[Path] = []
    real = model_files.sha256
    monkeypatch.setattr(model_files, "sha256", lambda path: read.append(path) or real(path))
    for content in (b"other", b"again"):
        weights.write_bytes(content)
        for _ in range(3):
            assert files.changed()
    assert read == [weights] * 2
