"""A recorded bag through the live node: the same masks as offline, and loops and pauses of simulation time are safe."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from soak_figures import unaccounted
from std_srvs.srv import Trigger

from t2g_ros.cli import main
from t2g_ros.sources import open_source
from t2g_ros.sources.bags.camera_writer import CameraBagWriter

from .bench import FRAME_NS, ROOT, START_NS, Bench, NodeProcess, Player, pixels, stamp_ns

Start = Callable[..., NodeProcess]
FRAMES = 20
IMAGES = ("mask", "confidence", "stability", "color", "overlay")


@pytest.fixture(scope="session")
def drive_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the rendered drive as a camera's bag, at half their size: see config/fastdds.xml."""
    path = tmp_path_factory.mktemp("bags") / "drive"
    source = open_source(frames=ROOT / "test" / "data" / "drive")
    writer = CameraBagWriter(path, camera="", frame_id="front", compression="raw", label_space=source.label_space)
    halved = (replace(item, frame=replace(item.frame, rgb=item.frame.rgb[::2, ::2].copy())) for item in source)
    assert writer.write(replace(item, labels=None) for item in islice(halved, FRAMES)) == FRAMES
    return path


def raw_messages(bag: Path, topic: str) -> list[bytes]:
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        return [bytes(data) for _, _, data in reader.messages(connections)]


def masks_bag_messages(bag: Path) -> dict[str, list]:
    found: dict[str, list] = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            found.setdefault(connection.topic, []).append(reader.deserialize(data, connection.msgtype))
    return found


def test_the_live_masks_of_a_bag_equal_those_of_evaluate_bit_for_bit(
    bench: Bench,
    start_node: Start,
    drive_bag: Path,
    random_model: Path,
    model_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("T2G_CACHE_DIR", str(model_cache))
    live = {topic: bench.listen(topic) for topic in IMAGES if topic != "mask"} | {"mask": bench.masks}
    start_node()
    bench.ready()
    for count, data in enumerate(raw_messages(drive_bag, "/image_raw"), start=1):
        bench.camera.publish(data)
        bench.until(lambda: all(len(messages) == count for messages in live.values()), f"frame {count}")  # noqa: B023

    out = ["--out", str(tmp_path / "out"), "--masks-bag", str(tmp_path / "masks"), "--no-overlay"]
    model = ["--model", str(random_model), "--threads", "1"]
    assert main(["evaluate", "--bag", str(drive_bag), "--image-topic", "/image_raw", *model, *out]) == 0
    offline = masks_bag_messages(tmp_path / "masks")
    assert len({msg.data.tobytes() for msg in offline["/segmentation/mask"]}) > FRAMES // 2
    for topic in IMAGES:
        messages = offline[f"/segmentation/{topic}"]
        assert len(messages) == len(live[topic]) == FRAMES
        for expected, msg in zip(messages, live[topic], strict=True):
            assert (stamp_ns(msg), msg.header.frame_id) == (stamp_ns(expected), expected.header.frame_id)
            assert (msg.encoding, msg.step) == (expected.encoding, expected.step)
            np.testing.assert_array_equal(np.frombuffer(msg.data, np.uint8), expected.data)


@pytest.mark.parametrize("tick_first", [True, False])
def test_every_round_of_a_loop_starts_with_an_empty_memory_once(
    bench: Bench, start_node: Start, tick_first: bool
) -> None:
    node = start_node(use_sim_time=True)
    bench.ready()
    player = Player(bench)
    rounds, frames = 3, 3
    by_round = []
    for number in range(rounds):
        masks = []
        for index in range(frames):
            stamp = START_NS + index * FRAME_NS
            if tick_first:
                player.tick(stamp)
            masks.append(bench.segment(bench.image(index)))
            if not tick_first:
                player.tick(stamp + 5_000_000)
            values = bench.wait_value("frames_segmented", str(number * frames + index + 1))
            # What the player's timer says a little later than the round's first image must not empty it again.
            if index < 2:  # the third takes the second's place: they lie closer than the memory needs
                assert values["clip_frames"] == str(index + 1)
            assert values["resets"] == str(number)
        by_round.append(masks)
    assert values["resets_clock_jump" if tick_first else "resets_stamp_backward"] == str(rounds - 1)
    for masks in by_round:
        assert [stamp_ns(m) for m in masks] == [START_NS + i * FRAME_NS for i in range(frames)]
        for mask, first in zip(masks, by_round[0], strict=True):
            np.testing.assert_array_equal(pixels(mask), pixels(first))
    assert node.alive


def test_a_pause_of_the_player_keeps_memory_and_state(bench: Bench, start_node: Start) -> None:
    node = start_node(use_sim_time=True, stale_after_s=0.5, max_gap_s=0.5)
    bench.ready()
    player = Player(bench)
    player.tick(START_NS)
    bench.segment(bench.image(0))
    bench.wait_value("frames_segmented", "1")
    seen = len(bench.statuses)
    for _ in range(15):  # time stands still, and is told all the same
        player.tick(START_NS)
        bench.spin(0.1)
    assert not bench.status("stale", since=seen)
    player.tick(START_NS + FRAME_NS)
    mask = bench.segment(bench.image(1))
    values = bench.wait_value("frames_segmented", "2")
    assert stamp_ns(mask) == START_NS + FRAME_NS
    assert (values["clip_frames"], values["resets"]) == ("2", "0")
    assert node.alive


def test_time_that_begins_late_is_told_and_costs_no_frame(bench: Bench, start_node: Start) -> None:
    start_node(use_sim_time=True)
    bench.ready()
    for i in range(2):
        bench.segment(bench.image(i))
    status = bench.wait_status("no_clock")
    assert status.level == b"\1"
    assert "use_sim_time is true, but /clock has told no time yet" in status.message
    seen = len(bench.statuses)
    player = Player(bench)
    player.tick(START_NS + FRAME_NS)
    bench.segment(bench.image(2))
    values = bench.wait_value("frames_segmented", "3")
    assert (values["state"], values["resets"]) == ("ok", "0")
    assert not bench.status("stale", seen)


def test_jumps_of_the_clock_empty_the_memory_and_are_no_silence(bench: Bench, start_node: Start) -> None:
    start_node(use_sim_time=True, stale_after_s=1.0)
    bench.ready()
    player = Player(bench)
    seen = len(bench.statuses)
    for jumps, seconds in enumerate((0, 60, -60)):
        start_ns = START_NS + seconds * 10**9
        player.tick(start_ns)
        for i in range(2):
            mask = bench.segment(bench.image(i, stamp=start_ns + i * FRAME_NS))
            assert stamp_ns(mask) == start_ns + i * FRAME_NS
            values = bench.wait_value("frames_segmented", str(2 * jumps + i + 1))
            assert (values["state"], values["clip_frames"]) == ("ok", str(i + 1))
        assert values["resets"] == values.get("resets_clock_jump", "0") == str(jumps)
    assert not bench.status("stale", seen)
    # The last image came at a time that is a minute ahead now: a silence is noticed all the same.
    player.tick(start_ns - 60 * 10**9)
    player.tick(start_ns - 58_500_000_000)
    bench.wait_value("state", "stale")


@pytest.mark.parametrize("rate", [0.5, 5.0])
def test_a_bag_gives_the_same_stream_at_any_speed(
    bench: Bench, start_node: Start, domain_id: int, drive_bag: Path, rate: float
) -> None:
    bench.node.destroy_publisher(bench.camera)
    start_node(use_sim_time=True, stale_after_s=2.0)
    player = [sys.executable, str(ROOT / "test" / "launch" / "ros2_bag.py"), "bag", "play", str(drive_bag)]
    options = ["--clock", "100", "--rate", str(rate), "--start-paused", "--topics", "/image_raw"]
    with subprocess.Popen([*player, *options], env=os.environ | {"ROS_DOMAIN_ID": str(domain_id)}) as process:
        bench.wait_value("publishers", "1")
        bench.wait_value("output_subscribers", "1")
        bench.client(Trigger, "/rosbag2_player/resume")
        bench.spin(1.0)  # discovery is not symmetric, and the player does not tell
        seen = len(bench.statuses)
        bench.call(Trigger, "/rosbag2_player/resume", Trigger.Request())
        bench.until(lambda: process.poll() is not None, "the end of the bag")
        assert process.returncode == 0

    def all_out() -> bool:
        values = bench.camera_values()
        return unaccounted(values) == 0 and values["frames_segmented"] == str(len(bench.masks))

    bench.until(all_out, "the last mask")
    values = bench.camera_values()
    assert int(values["frames_received"]) == int(values["frames_segmented"]) + int(values["frames_dropped"])
    assert (values["state"], values["resets"]) == ("ok", "0")
    assert not bench.status("stale", seen)
    stamps = [stamp_ns(mask) for mask in bench.masks]
    with AnyReader([drive_bag]) as reader:
        played = [stamp_ns(reader.deserialize(data, c.msgtype)) for c, _, data in reader.messages()
                  if c.topic == "/image_raw"]  # fmt: skip
    if rate < 1:
        assert stamps == played
    assert len(stamps) > FRAMES // 4  # a busy machine misses some of a fast camera's
    assert len(stamps) + int(values["frames_dropped"]) <= len(played)
    assert stamps == sorted(set(stamps) & set(played))
    # Rate, gaps and memory are of the recorded seconds, whatever the speed.
    rate_hz = (len(stamps) - 1) / (stamps[-1] - stamps[0]) * 1e9
    assert float(values["effective_rate_hz"]) == pytest.approx(rate_hz, rel=0.05)


def test_the_foxglove_layout_plots_keys_that_the_node_tells(bench: Bench, start_node: Start) -> None:
    layout = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
    keys = set(re.findall(r'key==\\"(\w+)\\"', json.dumps(layout)))
    assert keys
    start_node()
    bench.ready()
    assert keys <= set(bench.camera_values())
