"""The services under the node's name by which its cameras are told to forget, to pause and to resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from t2g_ros.ros.cameras import Camera

NOT_LOADED = "no model is loaded; configure the node first"


class CameraServices:
    """`~/reset_memory` and `~/enable`, for some cameras at once.

    Args:
        node: offers them.
        cameras: gives the cameras that are meant; none while no model is loaded.
        prefix: put before the names of the services, empty or ending in a slash.
    """

    def __init__(self, node: Node, cameras: Callable[[], Sequence[Camera]], prefix: str = "") -> None:
        self._node = node
        self._cameras = cameras
        self._services = [
            node.create_service(Trigger, f"~/{prefix}reset_memory", self._on_reset_memory),
            node.create_service(SetBool, f"~/{prefix}enable", self._on_enable),
        ]

    def destroy(self) -> None:
        """Take the services down."""
        for service in self._services:
            self._node.destroy_service(service)

    def _on_reset_memory(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        cameras = self._cameras()
        for camera in cameras:
            camera.reset("reset_memory")
        response.success = bool(cameras)
        response.message = "the next image starts with an empty memory" if cameras else NOT_LOADED
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        cameras = self._cameras()
        for camera in cameras:
            camera.enable(request.data)
        response.success = bool(cameras)
        response.message = ("segmenting" if request.data else "not segmenting") if cameras else NOT_LOADED
        return response
