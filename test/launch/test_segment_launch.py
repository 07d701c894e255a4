"""The launch file, run for real by launch_testing where there is one."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("script", ["segment_launch.py", "cameras_launch.py"])
def test_the_launch_file_brings_the_node_up_and_down(
    launch_environment: dict[str, str], random_model: Path, script: str
) -> None:
    # As a command and not as pytest's plugin, which lags behind pytest.
    command = [sys.executable, "-m", "launch_testing.launch_test", str(HERE / script), f"model:={random_model}"]
    result = subprocess.run(command, env=launch_environment, capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "OK" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cameras:=front,left", "images:=/a"], "images: found 1 topics (/a) for 2 cameras (front, left)"),
        (["cameras:=front", "camera_infos:=/a,/b"], "camera_infos: found 2 topics (/a, /b) for 1 cameras (front)"),
        (["images:=/a"], "images: found 1 topics (/a) for 0 cameras (none)"),
        (["cameras:=front,left", "image:=/a"], "image: found '/a' with several cameras; use images:="),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    launch_environment: dict[str, str], arguments: list[str], expected: str
) -> None:
    launch_file = HERE.parents[1] / "launch" / "segment.launch.py"
    command = [sys.executable, str(HERE / "run_launch.py"), str(launch_file), *arguments]
    result = subprocess.run(command, env=launch_environment, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert expected in result.stdout + result.stderr
