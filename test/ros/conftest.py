"""Fixtures of the ROS tests: a bench in the test's own DDS domain, and nodes to try."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

from t2g_ros.ros.node import SegmentNode

from .bench import PATIENCE, Bench, NodeProcess


@pytest.fixture
def bench(domain_id: int) -> Iterator[Bench]:
    bench = Bench(domain_id)
    yield bench
    bench.close()


@pytest.fixture
def own_node(
    domain_id: int, random_model: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SegmentNode]:
    """A node in the test's own process, not configured."""
    monkeypatch.setenv("T2G_CACHE_DIR", str(model_cache))
    package = logging.getLogger("t2g_ros")
    before = package.handlers, package.level, package.propagate
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    values = {"model": str(random_model), "threads": 1, "autostart": False}
    node = SegmentNode(context=context, parameter_overrides=[Parameter(name, value=v) for name, v in values.items()])
    yield node
    assert node.stop(30)
    node.destroy_node()
    rclpy.shutdown(context=context)
    package.handlers, package.level, package.propagate = before


@pytest.fixture
def start_node(
    bench: Bench, domain_id: int, model_cache: Path, random_model: Path, tmp_path: Path
) -> Iterator[Callable[..., NodeProcess]]:
    """Start the node with parameters; the small random model and patience unless told otherwise."""
    processes = bench.processes

    def start(
        *extra: str, cache: Path = model_cache, program: tuple[str, ...] | None = None, **parameters: Any
    ) -> NodeProcess:
        parameters = {"model": random_model, "threads": 1, **PATIENCE, **parameters}
        other = {} if program is None else {"program": program}
        process = NodeProcess(domain_id, cache, tmp_path / f"node{len(processes)}.log", parameters, extra, **other)
        processes.append(process)
        bench.clients.clear()  # this node does not know them
        return process

    yield start
    for process in processes:
        # Killed while it writes, it would leave the shared memory of the test's own participant broken, and Fast DDS
        # 2.14 crashes at times when it then takes that down.
        with suppress(subprocess.TimeoutExpired):
            process.end()
        if process.alive:
            process.process.kill()
            process.process.wait()
        print(process.output)
