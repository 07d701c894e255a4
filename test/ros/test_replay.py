"""A recorded bag through the live node: the same masks as offline, and loops and pauses of simulation time are safe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosgraph_msgs.msg import Clock

from t2g_ros.cli import main
from t2g_ros.sources import open_source
from t2g_ros.sources.bags.camera_writer import CameraBagWriter

from .bench import FRAME_NS, ROOT, START_NS, Bench, NodeProcess, pixels, stamp_ns

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


class Player:
    """Plays images and ticks of simulation time to a node that follows it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._clock = bench.node.create_publisher(Clock, "/clock", 10)
        bench.until(self._clock.get_subscription_count, "the node to follow /clock")

    def tick(self, ns: int) -> None:
        """Tell the time and wait until the node has taken it, which the stamps of its diagnostics show."""
        msg = Clock()
        msg.clock.sec, msg.clock.nanosec = divmod(ns, 1_000_000_000)
        self._clock.publish(msg)
        bench = self._bench
        bench.until(lambda: bench.diagnostics and stamp_ns(bench.diagnostics[-1]) == ns, "the time in diagnostics")


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


def test_the_foxglove_layout_plots_keys_that_the_node_tells(bench: Bench, start_node: Start) -> None:
    layout = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
    keys = set(re.findall(r'key==\\"(\w+)\\"', json.dumps(layout)))
    assert keys
    start_node()
    bench.ready()
    assert keys <= set(bench.camera_values())
