"""Where the package finds its files, and what it says where it does not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from t2g_ros.share import share_dir

ROOT = Path(__file__).resolve().parents[1]


def test_a_checkout_s_own_files_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert share_dir() == ROOT


@pytest.mark.parametrize("command", ["demo", "predict --frames drive --out out"])
def test_an_incomplete_installation_is_told_and_no_foreign_models_folder_is_taken(tmp_path: Path, command: str) -> None:
    shutil.copytree(ROOT / "t2g_ros", tmp_path / "t2g_ros", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models").mkdir()  # of another package
    (tmp_path / "drive").symlink_to(ROOT / "test" / "data" / "drive")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "AMENT_PREFIX_PATH": ""}
    argv = [sys.executable, "-m", "t2g_ros.cli", *command.split()]
    result = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert result.returncode == 2
    assert "no 'models' folder in any of" in result.stderr
    assert "Traceback" not in result.stderr
