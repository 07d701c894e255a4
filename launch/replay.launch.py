"""Play a bag through the segmentation node under the bag's own time, and record what the node says.

ros2 launch t2g_ros replay.launch.py bag:=out/drive_bag record:=out/masks_bag

Takes segment.launch.py's arguments too: `namespace`, `image` and so on say where in the bag the camera is. The player
starts once the node is active and the recorder subscribed; all ends when the bag has ended.
"""

from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.ros_adapters import get_ros_node

from launch import LaunchDescription

SEGMENT = Path(__file__).resolve().with_name("segment.launch.py")
OUTPUTS = ("mask", "confidence", "stability", "color", "overlay", "camera_info", "labels")
CLOCK_HZ = "100"
DELAY_S = "1.0"
"""The node needs a moment to find the player; images that are played before are lost."""
LOOK_EVERY_S = 0.25
SETTLE_S = 3.0
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

    def __init__(self, namespace):
        self.ros_node = None
        self.topic = None
        """Image topic that the node subscribes to, None until it is active."""
        self.error = None
        """Why the node cannot load its model."""
        self._name = f"{namespace}/segment_node".lstrip("/")

    def start(self, context):
        self.ros_node = get_ros_node(context)
        self.ros_node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, array):
        for status in array.status:
            name, _, of = status.name.partition(": ")
            if name != self._name:
                continue
            values = {pair.key: pair.value for pair in status.values}
            if of == "model":
                self.error = status.message if status.level == DiagnosticStatus.ERROR else None
            elif values["state"] != "inactive":
                self.topic = values["topic"]

    def is_recorded(self, topic):
        """Whether a `ros2 bag record` subscribes to the topic."""
        subscriptions = self.ros_node.get_subscriptions_info_by_topic(topic)
        return any(info.node_name == "rosbag2_recorder" for info in subscriptions)


def when(condition, then):
    """Go on with what `then` returns once the condition holds."""

    def look(context):
        if context.is_shutdown:
            return None
        return then() if condition() else [TimerAction(period=LOOK_EVERY_S, actions=[again], cancel_on_shutdown=False)]

    again = OpaqueFunction(function=look)
    return again


def replay(context, *args, **kwargs):
    """Node, then recorder, then player; each waits for the one before."""
    value = {name: LaunchConfiguration(name).perform(context) for name in (*ARGUMENTS, "namespace", "camera_info")}
    on = {name for name in ("loop", "start_paused") if value[name].lower() in ("true", "1")}
    for name, path in (("bag", value["bag"]), ("record", value["record"])):
        if path and Path(path).exists() != (name == "bag"):
            raise RuntimeError(f"{name} {path}: {'exists already; remove it' if name == 'record' else 'not found'}")
    namespace = "/" + value["namespace"].strip("/")
    outputs = [f"{namespace}/segmentation/{name}".replace("//", "/") for name in OUTPUTS]
    watch = NodeWatch(namespace.strip("/"))
    watch.start(context)

    def player():
        info = value["camera_info"]
        topics = [watch.topic, info if info.startswith("/") else f"{namespace}/{info}", *value["topics"].split()]
        command = ["ros2", "bag", "play", value["bag"], "--clock", CLOCK_HZ, "--rate", value["rate"]]
        command += ["--delay", DELAY_S, "--disable-keyboard-controls"]
        command += [f"--{name.replace('_', '-')}" for name in sorted(on)]
        # Last, since it takes any number. Only what the node reads: a bag may hold earlier masks of the same name.
        return [ExecuteProcess(name="player", cmd=[*command, "--topics", *topics], output="screen")]

    def recorder():
        if not value["record"]:
            return player()
        # An expression serves every distribution; their ways to list topics differ. Wall time, not --use-sim-time,
        # with which the labels, published before the first tick, would be lost.
        topics = f"^({outputs[0].rpartition('/')[0]}/.*|/diagnostics)$"
        command = ["ros2", "bag", "record", "--storage", "mcap", "--storage-preset-profile", "zstd_fast"]
        command += ["--output", value["record"], "--regex", topics]
        process = ExecuteProcess(name="recorder", cmd=command, output="screen", sigterm_timeout=FINALIZE_S)
        return [process, when(lambda: all(map(watch.is_recorded, outputs)), player)]

    def ready():
        return [Shutdown(reason=watch.error)] if watch.error else recorder()

    return [when(lambda: watch.topic or watch.error, ready)]


def on_exit(event, context):
    """End all after the bag's end, and at once when a process that is needed ended by itself."""
    if context.is_shutdown or event.process_name.startswith("rviz2"):
        return None
    stop = Shutdown(reason=f"{event.process_name} ended with exit code {event.returncode}")
    if event.process_name.startswith("player") and event.returncode == 0:
        return [TimerAction(period=SETTLE_S, actions=[stop])]
    return [stop]


def generate_launch_description():
    """Start the node as segment.launch.py does, which also prepares Fast DDS for player and recorder."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            RegisterEventHandler(OnProcessExit(on_exit=on_exit)),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SEGMENT)), launch_arguments={"use_sim_time": "true"}.items()
            ),
            OpaqueFunction(function=replay),
        ]
    )
