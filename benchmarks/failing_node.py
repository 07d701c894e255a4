"""segment_node with an engine that fails on command, for the soak and the tests: the node itself knows nothing of it.

Run: `T2G_ENGINE_FAULT=FILE python benchmarks/failing_node.py --ros-args ...`. While FILE exists, engines fail as the
word in it says: `error` at every frame, `memory` for want of memory, `dead` also while they are loaded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from t2g_ros import runtimes
from t2g_ros.ros.segment_node import main

FAULT = "T2G_ENGINE_FAULT"


class FailingEngine:
    """A real engine, and the faults in front of it.

    Args:
        engine: computes.
        file: says how to fail, if it is there.
    """

    def __init__(self, engine: runtimes.Runtime, file: Path) -> None:
        self._engine = engine
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        fail(self._file)
        self._engine.encode(rgb, slot)


def fail(file: Path) -> None:
    """Raise what the file says, if there is one."""
    try:
        word = file.read_text()
    except FileNotFoundError:
        return
    if word == "memory":
        np.empty(1 << 60, np.uint8)
    raise RuntimeError("the engine's process has crashed")


def failing(file: Path) -> None:
    """Let every engine that is loaded from now on obey the file."""
    load = runtimes.load_runtime

    def load_runtime(*args: Any, **options: Any) -> Any:
        if file.is_file() and file.read_text() == "dead":
            fail(file)
        return FailingEngine(load(*args, **options), file)

    runtimes.load_runtime = load_runtime


if __name__ == "__main__":
    failing(Path(os.environ[FAULT]))
    main()
