"""Time2General as a ROS 2 perception node: flicker-free driving-video segmentation.

Importing this package is cheap: it loads neither torch, rclpy nor any inference engine.
"""

__version__ = "0.1.0"
