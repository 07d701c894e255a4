"""The process of the node: `ros2 run t2g_ros segment_node`, `t2g segment` or `python -m t2g_ros.ros.segment_node`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from typing import NoReturn

STOP_S = 3.0
"""How long a running inference may take to finish; launch sends SIGTERM five seconds after SIGINT."""

SWITCH_S = 0.0001
"""A thread that waits for the interpreter gets it after this long. Python's 5 ms are half an inference; of 0.5 ms an
image still waited most, until the executor that had taken it let the inference thread begin."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT, SIGTERM or the context's shutdown, then end the process, with 1 after an error.

    Args:
        args: the command line after the program's name, by default the process's own.

    A signal ends the process with code 0 at any time, also while modules are imported or a model is compiled.
    """
    started = False

    def on_signal(signum: int, frame: object) -> None:
        # Once rclpy is up its own handler, which calls this one after it, shuts the context down.
        if not started:
            os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)

    # Imported late, so that the handlers are in place during the second this takes.
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from t2g_ros.ros.node import SegmentNode
    from t2g_ros.ros.spin import spin

    sys.setswitchinterval(SWITCH_S)
    rclpy.init(args=None if args is None else [sys.argv[0], *args])
    started = True
    node = executor = None
    code = 0
    try:
        node = SegmentNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.autostart()
        spin(executor, node)
    except Exception:
        # Whatever was under way when a signal shut the context down may fail of it.
        if rclpy.ok():
            traceback.print_exc()
            code = 1
    # An engine that is still compiling cannot be interrupted, and nothing must be taken down around it.
    if node and node.stop(STOP_S):
        if executor:
            executor.shutdown()
        node.destroy_node()
    rclpy.try_shutdown()
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process without taking the interpreter down.

    That takes seconds with torch in it, in no order, and with engines' threads alive it may not end at all; launch
    waits five seconds between SIGINT and SIGTERM.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    ctypes.CDLL(None).fflush(None)  # ROS's log file is a stream of C's
    os._exit(code)


if __name__ == "__main__":
    main()
