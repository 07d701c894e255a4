"""The launch file, run for real by launch_testing where there is one."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDED = ("launch_testing", "launch_ros", "rclpy")
MISSING = [name for name in NEEDED if find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"needs a ROS distribution: {', '.join(MISSING)} not installed")
def test_the_launch_file_brings_the_node_up_and_down(domain_id: int, model_cache: Path, random_model: Path) -> None:
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix("t2g_ros")
    except PackageNotFoundError:
        pytest.skip("needs t2g_ros in a workspace: colcon build, then source install/setup.bash")
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain_id), "T2G_CACHE_DIR": str(model_cache)}
    script = Path(__file__).with_name("segment_launch.py")
    # As a command and not as pytest's plugin, which lags behind pytest.
    command = [sys.executable, "-m", "launch_testing.launch_test", str(script), f"model:={random_model}"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "OK" in result.stdout + result.stderr
