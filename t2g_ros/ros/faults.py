"""What becomes of a frame with which something goes wrong: it is counted and named, and the node lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.node import Node

from t2g_ros.errors import EngineDown, InputError
from t2g_ros.ros.health import CameraHealth, State


@contextmanager
def faults_counted(health: CameraHealth, node: Node, *, masked: bool = False) -> Iterator[None]:
    """Count, tell and survive whatever goes wrong with a camera's frame.

    Args:
        health: is told.
        node: logs.
        masked: the frame has its mask, or will have it, so it is not counted as lost.
    """
    log = node.get_logger()

    try:
        yield
    except InputError as error:
        health.rejected += not masked
        # The segmenter does not know the topic.
        text = str(error) if health.topic in str(error) else f"{health.topic}: {error}"
        health.problem = (State.REJECTED, text)
        if health.is_due(State.REJECTED):
            log.warning(f"image rejected: {text}")
    except EngineDown as error:  # the log has it from the engine
        health.skipped["recovering"] += not masked
        health.problem = (State.RECOVERING, f"frame dropped: {error}")
    except Exception as error:  # the engine's, CUDA's, Jetson's allocator's: whatever it is
        if not node.context.ok():
            return
        health.failed += not masked
        what = "output lost" if masked else "frame dropped"
        health.problem = (State.ERROR, f"{what}: {type(error).__name__}: {error}")
        if health.is_due(State.ERROR):
            log.error(f"{health.topic}: {health.problem[1]}")
