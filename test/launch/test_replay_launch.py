"""The replay launch file, run for real: a bag is played over DDS into the node, which is recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from recordings import make_folder
from rosbags.highlevel import AnyReader

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import load_runtime
from t2g_ros.sources import open_source
from t2g_ros.sources.bags.camera_writer import CameraBagWriter

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FRAMES = 12
WAIT_S = 120.0
IMAGES = ("mask", "confidence", "stability", "color", "overlay")


class Launch:
    """A running launch file and what it prints."""

    def __init__(self, log: Path, arguments: dict[str, object], environment: dict[str, str]) -> None:
        self._log = log
        given = [f"{name}:={value}" for name, value in arguments.items()]
        command = [sys.executable, str(HERE / "run_launch.py"), str(ROOT / "launch" / "replay.launch.py"), *given]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to every process that it started."""
        os.killpg(self.process.pid, signal.SIGINT)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> int:
        return self.process.wait(WAIT_S)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    folder = make_folder(tmp_path / "frames", [str(i) for i in range(FRAMES)], highest_id=10)
    source = open_source(frames=folder, fps=10)
    CameraBagWriter(
        tmp_path / "drive", camera="/camera", frame_id="front", compression="raw", label_space=source.label_space
    ).write(source)
    return tmp_path / "drive"


@pytest.fixture
def replay(
    launch_environment: dict[str, str], bag: Path, tmp_path: Path, random_model: Path
) -> Iterator[Callable[..., Launch]]:
    """Launch the replay of the bag, on one CPU thread, which makes masks the same everywhere."""
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("/**:\n  ros__parameters:\n    threads: 1\n    precision: f32\n")
    environment = dict(launch_environment)
    if find_spec("rosbag2_py") is None:
        ros2 = tmp_path / "bin" / "ros2"
        ros2.parent.mkdir()
        ros2.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "ros2_bag.py"} "$@"\n')
        ros2.chmod(0o755)
        interfaces = ros2.parent / "rosbag2_interfaces"
        interfaces.mkdir()
        (interfaces / "__init__.py").touch()
        (interfaces / "srv.py").write_text("from std_srvs.srv import Trigger as Resume\n")
        for name in ("PATH", "PYTHONPATH"):
            environment[name] = os.pathsep.join([str(ros2.parent), environment.get(name, "")])
    launches: list[Launch] = []

    def start(**arguments: object) -> Launch:
        given = {"bag": bag, "model": random_model, "runtime": "torch", "params_file": parameters, **arguments}
        launch = Launch(tmp_path / f"launch{len(launches)}.log", given, environment)
        launches.append(launch)
        return launch

    yield start
    for launch in launches:
        if launch.process.poll() is None:
            launch.interrupt()
            launch.process.wait(60)
        print(launch.output)


def recorded(path: Path) -> dict[str, list]:
    """Topic -> messages in the order in which they came."""
    found: dict[str, list] = {}
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            found.setdefault(connection.topic, []).append(reader.deserialize(data, connection.msgtype))
    return found


def stamps(messages: list) -> list[int]:
    return [m.header.stamp.sec * 1_000_000_000 + m.header.stamp.nanosec for m in messages]


def camera_values(messages: dict[str, list]) -> dict[str, str]:
    """The camera's newest values in /diagnostics."""
    status = next(
        status
        for array in reversed(messages["/diagnostics"])
        for status in array.status
        if status.name == "camera/segment_node: /camera/image_raw"
    )
    return {pair.key: pair.value for pair in status.values}


def test_every_frame_is_masked_recorded_and_equal_to_the_offline_run(
    replay: Callable[..., Launch], bag: Path, tmp_path: Path, random_model: Path
) -> None:
    launch = replay(rate=0.25, record=tmp_path / "masks")
    assert launch.end() == 0, launch.output
    assert "the bag has ended" in launch.output
    assert launch.output.count("process has finished cleanly") == 3
    assert launch.output.count("fastdds.xml") >= 2  # player and recorder have room for large images too

    found = recorded(tmp_path / "masks")
    segmenter = StreamSegmenter(load_runtime(random_model, runtime="torch", precision="f32", threads=1))
    source = list(open_source(bag=bag, image_topic="/camera/image_raw"))
    for topic in IMAGES:
        assert stamps(found[f"/camera/segmentation/{topic}"]) == [f.frame.stamp_ns for f in source]
    masks, confidences = (found[f"/camera/segmentation/{topic}"] for topic in ("mask", "confidence"))
    for item, mask, confidence in zip(source, masks, confidences, strict=True):
        expected = segmenter.step(item.frame)
        assert expected is not None
        assert mask.header.frame_id == "front"
        np.testing.assert_array_equal(mask.data.reshape(48, 64), expected.labels)
        np.testing.assert_array_equal(confidence.data.reshape(48, 64), expected.confidence)
    assert len(found["/camera/segmentation/labels"]) == 1
    assert "/camera/ground_truth/mask" not in found
    # Diagnostics carry the node's time: the bag's and not today's.
    assert 0 < stamps(found["/diagnostics"])[-1] < 100 * 10**9
    assert camera_values(found)["resets"] == "0"


class Listener:
    """The test's own node."""

    def __init__(self, domain_id: int) -> None:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor

        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def until(self, condition: Callable[[], object], what: str, launch: Launch) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert launch.process.poll() is None, f"ended while waiting for {what}:\n{launch.output}"
            assert time.monotonic() < end, f"waited for {what}:\n{launch.output}"
            self.executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self.node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


@pytest.fixture
def listener(launch_environment: dict[str, str], domain_id: int) -> Iterator[Listener]:
    listener = Listener(domain_id)
    yield listener
    listener.close()


def rounds(found: list[int]) -> list[list[int]]:
    """Cut stamps where they go back."""
    cut: list[list[int]] = []
    for stamp in found:
        if not cut or stamp < cut[-1][-1]:
            cut.append([])
        cut[-1].append(stamp)
    return cut


def test_a_loop_empties_the_memory_each_time_and_goes_on_until_it_is_interrupted(
    replay: Callable[..., Launch], bag: Path, tmp_path: Path, listener: Listener
) -> None:
    from sensor_msgs.msg import Image

    masks: list[Image] = []
    listener.node.create_subscription(Image, "/camera/segmentation/mask", masks.append, 10)
    launch = replay(loop=True, rate=0.5, record=tmp_path / "masks")
    # One more than is asked of the recorder, which may be behind.
    listener.until(lambda: len(rounds(stamps(masks))) > 4, "the fifth round", launch)
    launch.interrupt()
    assert launch.end() == 0, launch.output
    assert launch.output.count("process has finished cleanly") == 3
    found = recorded(tmp_path / "masks")
    played = stamps(recorded(bag)["/camera/image_raw"])
    by_round = rounds(stamps(found["/camera/segmentation/mask"]))
    assert len(by_round) >= 4
    for got in by_round[:3]:
        assert got == sorted(set(got))
        assert set(got) <= set(played)
        # A round's last image and the next one's first come at once, and the node takes the newer; a busy machine
        # may miss some more.
        assert len(got) > FRAMES // 2
    values = camera_values(found)
    resets = {key: int(value) for key, value in values.items() if key.startswith("resets")}
    # Once for each round but the first, by what came first, stamp or clock; diagnostics are a second old.
    assert len(by_round) - 2 <= resets["resets"] <= len(by_round) - 1
    assert resets.get("resets_stamp_backward", 0) + resets.get("resets_clock_jump", 0) == resets["resets"]


def test_a_paused_start_plays_when_resumed(replay: Callable[..., Launch], tmp_path: Path, listener: Listener) -> None:
    try:
        from rosbag2_interfaces.srv import Resume
    except ImportError:
        from std_srvs.srv import Trigger as Resume
    from rosgraph_msgs.msg import Clock

    clock: list[Clock] = []
    listener.node.create_subscription(Clock, "/clock", clock.append, 10)
    client = listener.node.create_client(Resume, "/rosbag2_player/resume")
    launch = replay(start_paused=True, rate=0.5, record=tmp_path / "masks")
    listener.until(lambda: len(clock) > 500, "five seconds of a clock that stands still", launch)
    assert len({(tick.clock.sec, tick.clock.nanosec) for tick in clock}) == 1
    listener.until(client.service_is_ready, "the player's service", launch)
    client.call_async(Resume.Request())
    listener.until(lambda: "the bag has ended" in launch.output, "the bag's end", launch)
    assert launch.end() == 0, launch.output
    assert len(recorded(tmp_path / "masks")["/camera/segmentation/mask"]) == FRAMES


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"bag": "nowhere"}, "bag nowhere: no such file"),
        ({"record": "here"}, "record here: exists already"),
        ({"image": "front"}, "has no topic /camera/front; say with image:= which to take"),
        ({"model": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"rate": "fast"}, "process[player-2] was required"),
    ],
)
def test_what_cannot_work_ends_with_the_reason(
    replay: Callable[..., Launch],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    launch = replay(**arguments)
    launch.end()
    assert expected in launch.output
