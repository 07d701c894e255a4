"""What becomes of a frame with which something goes wrong: it is counted and named, and the node lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rclpy.node import Node

from t2g_ros.errors import EngineDown, InputError
from t2g_ros.ros.health import CameraHealth, State

LOG_EVERY_S = 5.0


@contextmanager
def faults_counted(health: CameraHealth, node: Node, *, masked: bool = False) -> Iterator[None]:
    """Count, tell and survive whatever goes wrong with a camera's frame.

    Args:
        health: is told.
        node: logs.
        masked: the frame has its mask, or will have it, so it is not counted as lost.
    """
    log = node.get_logger()

    def is_due(state: State) -> bool:
        """Whether this camera's faults of this kind have not been told for a while; rclpy would throttle by line."""
        now = monotonic()
        if now < health.told_at.get(state, -LOG_EVERY_S) + LOG_EVERY_S:
            return False
        health.told_at[state] = now
        return True

    try:
        yield
    except InputError as error:
        health.rejected += not masked
        # The segmenter does not know the topic.
        text = str(error) if health.topic in str(error) else f"{health.topic}: {error}"
        health.problem = (State.REJECTED, text)
        if is_due(State.REJECTED):
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
        if is_due(State.ERROR):
            log.error(f"{health.topic}: {health.problem[1]}")
