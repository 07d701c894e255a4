"""The launch file, run for real by launch_testing where there is one."""

import subprocess
import sys
from pathlib import Path


def test_the_launch_file_brings_the_node_up_and_down(launch_environment: dict[str, str], random_model: Path) -> None:
    script = Path(__file__).with_name("segment_launch.py")
    # As a command and not as pytest's plugin, which lags behind pytest.
    command = [sys.executable, "-m", "launch_testing.launch_test", str(script), f"model:={random_model}"]
    result = subprocess.run(command, env=launch_environment, capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "OK" in result.stdout + result.stderr
