"""Play a bag through the segmentation node under the bag's own time, and record what the node says.

ros2 launch t2g_ros replay.launch.py bag:=out/drive_bag record:=out/masks_bag

Takes segment.launch.py's arguments too: `namespace`, `image` and so on say where in the bag the camera is, `cameras`,
`images` and so on where several are. The player starts once the node is active and the recorder subscribed; all ends
when the bag has ended.
"""

from pathlib import Path

import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.ros_adapters import get_ros_node
from rosbag2_interfaces.srv import Resume

from launch import LaunchDescription

SEGMENT = Path(__file__).resolve().with_name("segment.launch.py")
OUTPUTS = ("mask", "confidence", "stability", "color", "overlay", "camera_info")
"""What the node counts the subscribers of."""
CLOCK_HZ = "100"
LOOK_EVERY_S = 0.25
SETTLE_S = 1.0
"""Discovery is not symmetric: what the node knows of the player, the player may learn a little later of the node."""
LAST_MASK_S = 3.0
"""After the bag's end the node still works on its last image."""
FINALIZE_S = "30"
"""How long the recorder may take to write what it holds."""

ARGUMENTS = {
    "bag": (None, "Bag to play."),
    "topics": ("", "Topics of the bag to play beside the camera's, separated by spaces, such as /tf /tf_static."),
    "rate": ("1.0", "Speed of the playback; 0.5 is half the recorded one."),
    "loop": ("false", "Start again at the end, until interrupted."),
    "start_paused": ("false", "Wait for the service /rosbag2_player/resume."),
    "record": ("", "Bag to make of the outputs and /diagnostics; empty records nothing."),
}


class NodeWatch:
    """What the node says of itself in /diagnostics, which works by real time and so before there is a /clock."""

    def __init__(self, context, namespace, cameras):
        self.cameras = {}
        """Image topic -> what the node tells of that camera; empty until the node is active."""
        self.error = None
        """Why the node cannot load its model."""
        self._name = f"{namespace}/segment_node".lstrip("/")
        topics = [f"{under(namespace, camera)}/segmentation" for camera in cameras]
        self._outputs = [f"{topic}/{name}" for topic in topics for name in OUTPUTS]
        self._labels = [f"{topic}/labels" for topic in topics]
        self._node = get_ros_node(context)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._resume = self._node.create_client(Resume, "/rosbag2_player/resume")

    def _on_diagnostics(self, array):
        cameras = {}
        for status in array.status:
            name, _, of = status.name.partition(": ")
            values = {pair.key: pair.value for pair in status.values}
            if name == self._name and of == "model":
                self.error = status.message if status.level == DiagnosticStatus.ERROR else None
            elif name == self._name:
                cameras[of] = values
        if cameras and all(values["state"] != "inactive" for values in cameras.values()):  # else of another node
            self.cameras = cameras

    def knows_recorder(self):
        """Whether a `ros2 bag record` subscribes to all outputs, and the node knows all of their subscribers."""
        outputs, labels = (
            [self._node.get_subscriptions_info_by_topic(topic) for topic in topics]
            for topics in (self._outputs, self._labels)
        )
        if not all(any(info.node_name == "rosbag2_recorder" for info in infos) for infos in [*outputs, *labels]):
            return False
        known = sum(int(values["output_subscribers"]) for values in self.cameras.values())
        return known >= sum(map(len, outputs))

    def knows_player(self):
        """Whether the node is connected to who plays the images, and playing can be resumed."""
        connected = all(int(values["publishers"]) > 0 for values in self.cameras.values())
        return connected and self._resume.service_is_ready()

    def resume_player(self, context):
        self._resume.call_async(Resume.Request())


def under(namespace, name):
    """The full name of what has this relative one in a namespace, or is full already."""
    parts = [name] if name.startswith("/") else [namespace, name]
    return "/" + "/".join(part for part in "/".join(parts).split("/") if part)


def names_in(text):
    """The names between the commas; none in an empty text."""
    return [name.strip() for name in text.split(",")] if text.strip() else []


def when(condition, then):
    """Go on with what `then` returns once the condition holds."""

    def look(context):
        if context.is_shutdown:
            return None
        return then() if condition() else [TimerAction(period=LOOK_EVERY_S, actions=[again], cancel_on_shutdown=False)]

    again = OpaqueFunction(function=look)
    return again


def check_paths(context, *args, **kwargs):
    """Refuse what cannot work before anything runs."""
    bag, record = (LaunchConfiguration(name).perform(context) for name in ("bag", "record"))
    if not Path(bag).exists():
        raise RuntimeError(f"bag {bag}: no such file or folder")
    if record and Path(record).exists():
        raise RuntimeError(f"record {record}: exists already; choose another name or remove it")


def missing_topic(bag, topic, argument):
    """Say which images the bag holds where its metadata have no such topic; else None."""
    file = Path(bag) / "metadata.yaml"
    if not file.is_file():
        return None
    information = yaml.safe_load(file.read_text())["rosbag2_bagfile_information"]
    kinds = {t["topic_metadata"]["name"]: t["topic_metadata"]["type"] for t in information["topics_with_message_count"]}
    if topic in kinds:
        return None
    images = ", ".join(sorted(name for name, kind in kinds.items() if "Image" in kind)) or "none"
    return f"bag {bag}: has no topic {topic}; say with {argument}:= which to take; its images: {images}"


def replay(context, *args, **kwargs):
    """Node, then recorder, then player; each waits for the one before."""
    names = (*ARGUMENTS, "namespace", "camera_info", "cameras", "camera_infos")
    value = {name: LaunchConfiguration(name).perform(context) for name in names}
    on = {name for name in ("loop", "start_paused") if value[name].lower() in ("true", "1")}
    namespace = value["namespace"].strip("/")
    cameras = names_in(value["cameras"]) or [""]
    infos = names_in(value["camera_infos"]) or [f"{camera}/camera_info" for camera in cameras]
    if not value["cameras"]:
        infos = [value["camera_info"]]
    watch = NodeWatch(context, namespace, cameras)

    def ready():
        argument = "images" if value["cameras"] else "image"
        missing = (missing_topic(value["bag"], topic, argument) for topic in watch.cameras)
        problem = watch.error or next(filter(None, missing), None)
        if problem:
            return [LogInfo(msg=problem), Shutdown(reason=problem)]
        return recorder() if value["record"] else player()

    def recorder():
        # An expression serves every distribution; their ways to list topics differ. Wall time, not --use-sim-time,
        # with which the labels, published before the first tick, would be lost.
        outputs = "|".join(f"{under(namespace, camera)}/segmentation/.*" for camera in cameras)
        topics = f"^({outputs}|/diagnostics)$"
        command = ["ros2", "bag", "record", "--storage", "mcap", "--storage-preset-profile", "zstd_fast"]
        command += ["--output", value["record"], "--regex", topics]
        process = ExecuteProcess(name="recorder", cmd=command, output="screen", sigterm_timeout=FINALIZE_S)
        return [process, when(watch.knows_recorder, player)]

    def player():
        command = ["ros2", "bag", "play", value["bag"], "--clock", CLOCK_HZ, "--rate", value["rate"]]
        # Paused, or what is played before node and player know each other would be lost.
        command += ["--start-paused", "--disable-keyboard-controls", *(["--loop"] if "loop" in on else [])]
        # Only what the node reads: a bag may hold earlier masks under the same names.
        command += ["--topics", *watch.cameras, *(under(namespace, info) for info in infos), *value["topics"].split()]
        process = ExecuteProcess(name="player", cmd=command, output="screen")
        return [process] if "start_paused" in on else [process, when(watch.knows_player, resume)]

    def resume():
        return [TimerAction(period=SETTLE_S, actions=[OpaqueFunction(function=watch.resume_player)])]

    return [when(lambda: watch.cameras or watch.error, ready)]


def on_exit(event, context):
    """End all after the bag's end, and at once when a process that is needed ended by itself."""
    if context.is_shutdown or event.process_name.startswith("rviz2"):
        return None
    stop = Shutdown(reason=f"{event.process_name} ended with exit code {event.returncode}")
    if event.process_name.startswith("player") and event.returncode == 0:
        return [LogInfo(msg="the bag has ended"), TimerAction(period=LAST_MASK_S, actions=[stop])]
    return [stop]


def generate_launch_description():
    """Start the node as segment.launch.py does, which also prepares Fast DDS for player and recorder."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=check_paths),
            RegisterEventHandler(OnProcessExit(on_exit=on_exit)),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SEGMENT)), launch_arguments={"use_sim_time": "true"}.items()
            ),
            OpaqueFunction(function=replay),
        ]
    )
