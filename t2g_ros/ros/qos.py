"""What keeps a subscription from the publishers of its topic: their qualities of service, side by side."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSPresetProfiles, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

INFINITE_NS = 2**62
"""Durations beyond this are how a middleware says that there is none."""


def latest_only() -> QoSProfile:
    """Sensor-data QoS that holds one message: an older one is of no use."""
    sensor_data = QoSPresetProfiles.SENSOR_DATA.value
    return QoSProfile(
        history=sensor_data.history, depth=1, reliability=sensor_data.reliability, durability=sensor_data.durability
    )


def describe(qos: QoSProfile) -> str:
    """Name what has to fit between a publisher and a subscription; the rest is each side's own affair."""
    parts = [f"reliability {qos.reliability.name.lower()}", f"durability {qos.durability.name.lower()}"]
    for name in ("deadline", "liveliness_lease_duration"):
        if 0 < getattr(qos, name).nanoseconds < INFINITE_NS:
            parts.append(f"{name} {getattr(qos, name).nanoseconds / 1e9:g} s")
    if qos.liveliness.name not in ("SYSTEM_DEFAULT", "AUTOMATIC", "UNKNOWN"):
        parts.append(f"liveliness {qos.liveliness.name.lower()}")
    return ", ".join(parts)


def node_of(publisher: TopicEndpointInfo) -> str:
    """Full name of the node that a publisher belongs to, as far as the ROS graph knows it."""
    if publisher.node_name.startswith("_NODE_NAME_UNKNOWN"):
        return "a node whose name is not known"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"


def fitting(node: Node, topic: str, asked: QoSProfile) -> int:
    """How many publishers of a topic offer what a subscription asks for."""
    publishers = node.get_publishers_info_by_topic(topic)
    return sum(_fits(publisher.qos_profile, asked) for publisher in publishers)


def _fits(offered: QoSProfile, asked: QoSProfile) -> bool:
    return qos_check_compatible(offered, asked)[0] != QoSCompatibility.ERROR


def mismatch(node: Node, topic: str, asked: QoSProfile) -> str | None:
    """Say which publishers of a topic offer less than a subscription asks for, with both profiles.

    None if there is no such publisher (any more).
    """
    offers = [
        f"{node_of(publisher)} offers {describe(publisher.qos_profile)}"
        for publisher in node.get_publishers_info_by_topic(topic)
        if not _fits(publisher.qos_profile, asked)
    ]
    if not offers:
        return None
    return (
        f"incompatible QoS on {topic}: {'; '.join(offers)}; this subscription asks for {describe(asked)}; change the "
        f"publisher's, or set qos_overrides.{topic}.subscription.reliability"
    )
