"""Executing callbacks, whatever one of them raises."""

from __future__ import annotations

import time
import traceback

from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node

from t2g_ros.ros.health import LOG_EVERY_S

PAUSE_S = 0.01
"""After an error, should the next one come at once."""


def spin(executor: Executor, node: Node) -> None:
    """Execute callbacks until the context is shut down; what one of them raises costs its message and nothing else.

    rclpy's own callbacks raise too, at a /clock before 1970 and at a parameter of an unknown type, and its executors
    pass that on.
    """
    while node.context.ok():
        try:
            executor.spin()
        except ExternalShutdownException:
            return
        except Exception as error:
            if not node.context.ok():
                return
            where = traceback.extract_tb(error.__traceback__)[-1]
            node.get_logger().error(
                f"a callback failed, and what it was called for is lost: {type(error).__name__}: {error} "
                f"({where.filename}:{where.lineno})",
                throttle_duration_sec=LOG_EVERY_S,
            )
            time.sleep(PAUSE_S)
