"""Launch the segmentation node in a camera's namespace, and RViz with it if asked to.

ros2 launch t2g_ros segment.launch.py namespace:=camera image:=/camera/image_raw rviz:=true
ros2 launch t2g_ros segment.launch.py namespace:=car cameras:=front,left images:=/front/image,/left/image
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
    "namespace": (
        "camera",
        "Namespace of the camera; masks appear under <namespace>/segmentation, of several cameras under "
        "<namespace>/<camera>/segmentation.",
    ),
    "image": ("image_raw", "Image topic; a relative name lies in the namespace. Without the /compressed."),
    "camera_info": ("camera_info", "Camera info topic."),
    "cameras": ("", "Names of several cameras, such as front,left,right; empty takes the parameter file's."),
    "images": ("", "Image topics of the cameras, as many and in that order; empty takes <camera>/image_raw."),
    "camera_infos": ("", "Camera info topics of the cameras, likewise; empty takes <camera>/camera_info."),
    "image_transport": ("", "raw or compressed; empty takes the parameter file's."),
    "model": ("", "Shipped model or path of a .safetensors file; empty takes the parameter file's."),
    "runtime": ("", "auto, torch, openvino, onnx or tensorrt; empty takes the parameter file's."),
    "params_file": (str(CONFIG / "segment.yaml"), "Parameter file."),
    "use_sim_time": ("false", "Follow /clock, as when a bag is played."),
    "rviz": ("false", "Open RViz on the overlay, the colours and the stability, for each camera."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
}


def names_in(text):
    """The names between the commas; none in an empty text."""
    return [name.strip() for name in text.split(",")] if text.strip() else []


def remappings_of(value):
    """Where the node finds the topics of its camera, or of each of its cameras."""
    cameras = names_in(value["cameras"])
    remappings = []
    for topic, of_one, of_several in (("image_raw", "image", "images"), ("camera_info", "camera_info", "camera_infos")):
        found = names_in(value[of_several])
        if found and len(found) != len(cameras):
            raise RuntimeError(
                f"{of_several}: found {len(found)} topics ({', '.join(found)}) for {len(cameras)} cameras "
                f"({', '.join(cameras) or 'none'}), expected one for each name in cameras:="
            )
        if cameras and value[of_one] != ARGUMENTS[of_one][0]:
            raise RuntimeError(f"{of_one}: found '{value[of_one]}' with several cameras; use {of_several}:=")
        if cameras:
            own = [f"{camera}/{topic}" for camera in cameras] if found else []
            remappings += zip(own, found, strict=True)
        else:
            remappings.append((topic, value[of_one]))
    return remappings


def segment_node(context, *args, **kwargs):
    """The node; arguments that are given go before the parameter file's values."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    overrides = {name: value[name] for name in ("image_transport", "model", "runtime") if value[name]}
    if value["cameras"]:
        overrides["cameras"] = names_in(value["cameras"])
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
            remappings=remappings_of(value),
            ros_arguments=["--log-level", f"{logger}:={value['log_level']}"],
            output="screen",
            emulate_tty=True,
        )
    ]


def rviz(context, *args, **kwargs):
    """RViz, whose view has relative topic names, in the namespace of each camera."""
    namespace, cameras = (LaunchConfiguration(name).perform(context) for name in ("namespace", "cameras"))
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=f"{namespace}/{camera}".rstrip("/"),
            arguments=["-d", str(CONFIG / "segment.rviz")],
        )
        for camera in names_in(cameras) or [""]
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
    actions.append(OpaqueFunction(function=rviz, condition=IfCondition(LaunchConfiguration("rviz"))))
    return LaunchDescription(actions)
