"""What every reader of bags yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One recorded message, not yet deserialised."""

    topic: str
    msgtype: str
    """Such as `sensor_msgs/msg/Image`."""
    recorded_ns: int
    data: bytes
    """As it was serialised: CDR, in ROS 1 bags ROS 1's own format."""
