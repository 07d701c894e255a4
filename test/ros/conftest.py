"""Fixtures of the ROS tests: a DDS domain for each test, a bench in it, and nodes to try."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

from .bench import Bench, NodeProcess


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A DDS domain that no other test on this machine uses: whoever holds the port holds the domain."""
    for number in range(1, 100):
        lock = socket.socket()
        try:
            lock.bind(("127.0.0.1", 22100 + number))
        except OSError:
            lock.close()
            continue
        with lock:
            yield number
        return
    pytest.fail("no DDS domain is free")


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted models are shared between the nodes of a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def varied_model(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model with weights large enough that its masks hold many classes."""
    import torch

    from t2g_ros.model.checkpoint import load_model, save_model

    network = load_model(random_model)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if not name.startswith("encoder"):
                weight *= 3
    path = tmp_path_factory.mktemp("varied") / random_model.name
    save_model(network, path)
    return path


@pytest.fixture
def bench(domain_id: int) -> Iterator[Bench]:
    bench = Bench(domain_id)
    yield bench
    bench.close()


@pytest.fixture
def start_node(
    bench: Bench, domain_id: int, model_cache: Path, varied_model: Path, tmp_path: Path
) -> Iterator[Callable[..., NodeProcess]]:
    """Start the node with parameters; the small varied model unless told otherwise."""
    processes = bench.processes

    def start(*extra: str, cache: Path = model_cache, **parameters: Any) -> NodeProcess:
        parameters = {"model": varied_model, "threads": 1, **parameters}
        process = NodeProcess(domain_id, cache, tmp_path / f"node{len(processes)}.log", parameters, extra)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.alive:
            process.process.kill()
            process.process.wait()
        print(process.output)
