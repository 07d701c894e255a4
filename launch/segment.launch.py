"""Launch the segmentation node in a camera's namespace, and RViz with it if asked to.

ros2 launch t2g_ros segment.launch.py namespace:=camera image:=/camera/image_raw rviz:=true
"""

import os
from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS 2, and 3

ARGUMENTS = {
    "namespace": ("camera", "Namespace of the camera; masks appear under <namespace>/segmentation."),
    "image": ("image_raw", "Image topic; a relative name lies in the namespace. Without the /compressed."),
    "camera_info": ("camera_info", "Camera info topic."),
    "image_transport": ("", "raw or compressed; empty takes the parameter file's."),
    "model": ("", "Shipped model or path of a .safetensors file; empty takes the parameter file's."),
    "runtime": ("", "auto, torch, openvino, onnx or tensorrt; empty takes the parameter file's."),
    "params_file": (str(CONFIG / "segment.yaml"), "Parameter file."),
    "use_sim_time": ("false", "Follow /clock, as when a bag is played."),
    "rviz": ("false", "Open RViz on the overlay, the colours and the stability."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
}


def segment_node(context, *args, **kwargs):
    """The node; arguments that are given go before the parameter file's values."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    overrides = {name: value[name] for name in ("image_transport", "model", "runtime") if value[name]}
    # A logger's name is the node's full name with dots.
    logger = ".".join([*filter(None, value["namespace"].split("/")), "segment_node"])
    overrides["use_sim_time"] = value["use_sim_time"].lower() in ("true", "1")
    return [
        LifecycleNode(
            package="t2g_ros",
            executable="segment_node",
            name="segment_node",
            namespace=value["namespace"],
            parameters=[value["params_file"], overrides],
            remappings=[
                ("image_raw", value["image"]),
                ("camera_info", value["camera_info"]),
            ],
            ros_arguments=["--log-level", f"{logger}:={value['log_level']}"],
            output="screen",
            emulate_tty=True,
        )
    ]


def generate_launch_description():
    """Declare the arguments, make room for large images in Fast DDS, start the node."""
    actions = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    if not any(name in os.environ for name in PROFILES):  # the user's own profile stays
        actions += [SetEnvironmentVariable(name, str(CONFIG / "fastdds.xml")) for name in PROFILES]
    actions.append(OpaqueFunction(function=segment_node))
    actions.append(
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=LaunchConfiguration("namespace"),
            arguments=["-d", str(CONFIG / "segment.rviz")],
            condition=IfCondition(LaunchConfiguration("rviz")),
        )
    )
    return LaunchDescription(actions)
