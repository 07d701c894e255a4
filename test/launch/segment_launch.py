"""The launch test itself, for `launch_test`: the node of launch/segment.launch.py in a camera's namespace."""

import unittest
from pathlib import Path

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import numpy as np
import rclpy
from launch.launch_description_sources import PythonLaunchDescriptionSource
from lifecycle_msgs.srv import GetState
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

import launch

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "segment.launch.py"
WAIT_S = 60.0


@launch_testing.markers.keep_alive
def generate_test_description() -> launch.LaunchDescription:
    """The node under /front, on a camera of another name."""
    arguments = {
        "namespace": "front",
        "image": "/sensors/front/image",
        "model": launch.substitutions.LaunchConfiguration("model"),
    }
    return launch.LaunchDescription(
        [
            launch.actions.DeclareLaunchArgument("model"),
            launch.actions.IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(LAUNCH_FILE)), launch_arguments=arguments.items()
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestSegmentNode(unittest.TestCase):
    def setUp(self) -> None:
        rclpy.init()
        self.node = rclpy.create_node("launch_test")

    def tearDown(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown()

    def until(self, condition, what):
        end = self.node.get_clock().now().nanoseconds + WAIT_S * 1e9
        while self.node.get_clock().now().nanoseconds < end:
            value = condition()
            if value:
                return value
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return self.fail(f"waited {WAIT_S} s for {what}")

    def state(self) -> str:
        client = self.node.create_client(GetState, "/front/segment_node/get_state")
        self.until(client.service_is_ready, "the node's services")
        future = client.call_async(GetState.Request())
        self.until(future.done, "the node's state")
        return future.result().current_state.label

    def test_becomes_active_and_gives_masks_their_images_stamp(self) -> None:
        self.until(lambda: self.state() == "active", "the node to become active")
        masks: list[Image] = []
        self.node.create_subscription(Image, "/front/segmentation/mask", masks.append, qos_profile_sensor_data)
        camera = self.node.create_publisher(Image, "/sensors/front/image", qos_profile_sensor_data)
        self.until(camera.get_subscription_count, "the node to subscribe to the remapped image topic")
        self.until(lambda: self.node.count_publishers("/front/segmentation/mask"), "the mask topic")
        image = Image(height=48, width=64, step=192, encoding="bgr8")
        image.data = np.zeros((48, 64, 3), np.uint8).tobytes()
        image.header.frame_id = "front_optical"
        image.header.stamp.sec, image.header.stamp.nanosec = 1_700_000_000, 123_456_789

        def mask():
            # Best effort: an image may be lost, so each try is another one.
            if not masks:
                image.header.stamp.nanosec += 1
                camera.publish(image)
                rclpy.spin_once(self.node, timeout_sec=0.5)
            return masks

        self.until(mask, "a mask")
        assert masks[0].header.frame_id == "front_optical"
        assert masks[0].header.stamp.sec == 1_700_000_000
        offset = masks[0].header.stamp.nanosec - 123_456_789
        assert 0 < offset <= image.header.stamp.nanosec - 123_456_789
        assert (masks[0].height, masks[0].width, masks[0].encoding) == (48, 64, "mono8")


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    def test_ends_cleanly(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
