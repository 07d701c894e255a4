"""The node as usually written, the baseline of benchmarks/node.py: everything in the subscription's callback.

The weights and the memory are the real node's, and with `runtime:=openvino` the engine too. It does less: a mask and no
more. Run: `python benchmarks/usual_node.py [--ros-args -p model:=t2g_tiny -p runtime:=auto -p precision:=auto]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import load_runtime
from t2g_ros.types import NS_PER_S, Frame


class UsualNode(Node):
    """Takes `image_raw` and publishes `segmentation/mask`, both with the default QoS: reliable, ten deep."""

    def __init__(self) -> None:
        super().__init__("usual_node")
        options: dict[str, Any] = {
            name: self.declare_parameter(name, "auto").value for name in ("runtime", "precision")
        }
        model: Any = self.declare_parameter("model", "t2g_tiny").value
        threads: Any = self.declare_parameter("threads", 0).value
        self._segmenter = StreamSegmenter(load_runtime(model, threads=threads, **options))
        self._masks = self.create_publisher(Image, "segmentation/mask", 10)
        self.create_subscription(Image, "image_raw", self._on_image, 10)

    def _on_image(self, msg: Image) -> None:
        stamp_ns = msg.header.stamp.sec * NS_PER_S + msg.header.stamp.nanosec
        segmentation = self._segmenter.step(Frame(imgmsg_to_cv2(msg), stamp_ns, msg.header.frame_id))
        assert segmentation is not None  # there is no lag
        mask = cv2_to_imgmsg(segmentation.labels)
        mask.header = msg.header
        self._masks.publish(mask)


def imgmsg_to_cv2(msg: Image) -> np.ndarray:
    """As cv_bridge converts an rgb8 image: (H, W, 3) uint8, copied once."""
    return np.ndarray((msg.height, msg.width, 3), np.uint8, msg.data.tobytes())


def cv2_to_imgmsg(mask: np.ndarray) -> Image:
    """As cv_bridge converts (H, W) uint8 to mono8, copied twice."""
    height, width = mask.shape
    msg = Image(height=height, width=width, step=width, encoding="mono8")
    msg.data.frombytes(mask.tobytes())
    return msg


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(UsualNode())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
