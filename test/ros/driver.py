"""A camera driver in a process of its own, to be killed: publishes small images at 5 Hz until then."""

import itertools
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image


def main(name: str) -> None:
    """Publish images on image_raw as a node of this name."""
    rclpy.init()
    node = rclpy.create_node(name)
    camera = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    for index in itertools.count():
        rgb = np.random.default_rng(index).integers(0, 256, (96, 160, 3), dtype=np.uint8)
        image = Image(height=96, width=160, step=480, encoding="rgb8", data=rgb.tobytes())
        image.header.stamp, image.header.frame_id = node.get_clock().now().to_msg(), name
        camera.publish(image)
        time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])
