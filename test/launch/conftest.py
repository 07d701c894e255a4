"""What the launch tests need: the launch stack, and t2g_ros installed in a workspace."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDED = ("launch_testing", "launch_ros", "rclpy")
MISSING = [name for name in NEEDED if find_spec(name) is None]


@pytest.fixture
def launch_environment(domain_id: int, model_cache: Path) -> dict[str, str]:
    """Environment variables for a process that launches; skips where nothing can be launched."""
    if MISSING:
        pytest.skip(f"needs a ROS distribution: {', '.join(MISSING)} not installed")
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix("t2g_ros")
    except PackageNotFoundError:
        pytest.skip("needs t2g_ros in a workspace: colcon build, then source install/setup.bash")
    return os.environ | {"ROS_DOMAIN_ID": str(domain_id), "T2G_CACHE_DIR": str(model_cache)}
