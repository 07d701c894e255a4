"""The launch test of several cameras, for `launch_test`: three in one node, of which one has other topics."""

import unittest
from functools import partial
from pathlib import Path

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import numpy as np
import rclpy
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

import launch

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "segment.launch.py"
CAMERAS = ("front", "left", "right")
WAIT_S = 60.0


@launch_testing.markers.keep_alive
def generate_test_description() -> launch.LaunchDescription:
    """The node under /car."""
    arguments = {
        "namespace": "car",
        "cameras": ",".join(CAMERAS),
        "images": ",".join(f"/sensors/{camera}/image" for camera in CAMERAS),
        "camera_infos": ",".join(f"/sensors/{camera}/info" for camera in CAMERAS),
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


class TestCameras(unittest.TestCase):
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

    def test_gives_each_camera_the_masks_of_its_own_images(self) -> None:
        masks: dict[str, list[Image]] = {camera: [] for camera in CAMERAS}
        for camera, found in masks.items():
            topic = f"/car/{camera}/segmentation/mask"
            self.node.create_subscription(Image, topic, found.append, qos_profile_sensor_data)
            self.until(partial(self.node.count_publishers, topic), f"the topic {topic}")
        for place, camera in enumerate(CAMERAS):
            images = self.node.create_publisher(Image, f"/sensors/{camera}/image", qos_profile_sensor_data)
            infos = self.node.create_publisher(CameraInfo, f"/sensors/{camera}/info", qos_profile_sensor_data)
            self.until(images.get_subscription_count, f"the node to subscribe to the images of {camera}")
            self.until(infos.get_subscription_count, f"the node to subscribe to the camera info of {camera}")
            image = Image(height=48, width=64, step=192, encoding="bgr8")
            image.data = np.zeros((48, 64, 3), np.uint8).tobytes()
            image.header.frame_id = f"{camera}_optical"
            image.header.stamp.sec = 1_700_000_000 + place

            def mask(camera=camera, image=image, images=images):
                # Best effort: an image may be lost, so each try is another one.
                if not masks[camera]:
                    image.header.stamp.nanosec += 1
                    images.publish(image)
                    rclpy.spin_once(self.node, timeout_sec=0.5)
                return masks[camera]

            self.until(mask, f"a mask of {camera}")
        for place, camera in enumerate(CAMERAS):
            header = masks[camera][0].header
            assert (header.frame_id, header.stamp.sec) == (f"{camera}_optical", 1_700_000_000 + place)


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    def test_ends_cleanly(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
