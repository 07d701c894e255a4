"""What the layers below say, in the node's log."""

from __future__ import annotations

import logging

from rclpy.node import Node


class _ToRosLog(logging.Handler):
    """Brings what the layers below say to the node's log."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._logger = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # rclpy fixes the severity of a call by its line, so each has a line of its own.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def forward_logs(node: Node) -> None:
    """Let whatever this package logs through Python's logging go through the node's logger."""
    package = logging.getLogger("t2g_ros")
    package.handlers = [_ToRosLog(node)]
    package.setLevel(logging.DEBUG)  # the ROS logger has the say
    package.propagate = False
