"""What may be changed while the node runs takes effect at once; what may not is refused with the reason."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, fields

import numpy as np
from sensor_msgs.msg import Image
from soak_figures import unaccounted
from std_msgs.msg import String

from t2g_ros.drawing import overlay
from t2g_ros.labels import CITYSCAPES19
from t2g_ros.labels.palettes import recolored
from t2g_ros.ros.parameters import LIVE, OUTPUTS, START, Settings
from t2g_ros.ros.publishers import LATCHED_QOS

from .bench import FRAME_NS, START_NS, Bench, NodeProcess, picture, pixels, stamp_ns

Start = Callable[..., NodeProcess]
ALWAYS = {"/segmentation/labels"}


def offered(bench: Bench) -> set[str]:
    """Names of the outputs that are advertised."""
    names = {name for name, _ in bench.node.get_topic_names_and_types() if bench.node.count_publishers(name)}
    return {name for name in names if name.startswith("/segmentation/")} - {"/segmentation/label_info"}


def topics(names: list[str]) -> set[str]:
    return ALWAYS | {f"/segmentation/{name}" for name in names}


def test_everything_that_cannot_change_while_active_is_refused_with_the_reason(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    times = {f.name: f.metadata["when"] for f in fields(Settings)}
    for name, value in asdict(Settings()).items():
        result = bench.set_parameter(name, value or ["front"] if name == "cameras" else value)
        assert result.successful is (times[name] == LIVE), name
        if times[name] == START:
            assert "read-only" in result.reason
        elif times[name] != LIVE:
            assert f"parameter {name}: settable while unconfigured only; deactivate and clean up" in result.reason
    live = {name for name, when in times.items() if when == LIVE}
    assert live >= {"stale_after_s", "max_mean_flicker", "palette", "overlay_alpha", "max_rate_hz", "outputs"}
    bench.segment(bench.image(0))


def test_colours_follow_the_palette_and_the_alpha(bench: Bench, start_node: Start) -> None:
    colors, overlays = bench.listen("color"), bench.listen("overlay")
    labels = bench.listen("labels", String, LATCHED_QOS)
    start_node()
    bench.ready()
    mask = bench.segment(bench.image(0))
    bench.until(lambda: colors and labels, "the colours")
    np.testing.assert_array_equal(pixels(colors[0]), CITYSCAPES19.colorize(pixels(mask)))

    assert bench.set_parameter("palette", "cividis").successful
    assert bench.set_parameter("overlay_alpha", 0.25).successful
    cividis = recolored(CITYSCAPES19, "cividis")
    bench.until(lambda: len(labels) == 2, "the labels in their new colours")
    assert json.loads(labels[1].data) == cividis.to_json()
    mask = bench.segment(bench.image(1))
    bench.until(lambda: len(colors) == len(overlays) == 2, "the new colours")
    np.testing.assert_array_equal(pixels(colors[1]), cividis.colorize(pixels(mask)))
    np.testing.assert_array_equal(pixels(overlays[1]), overlay(picture(1), pixels(mask), cividis, 0.25))
    assert "found 'pink', expected one of own, cividis" in bench.set_parameter("palette", "pink").reason


def test_outputs_come_and_go_while_images_flow(bench: Bench, start_node: Start) -> None:
    confidences = bench.listen("confidence")
    start_node(outputs='["confidence"]')
    bench.until(lambda: bench.camera_values().get("output_subscribers") == "1", "the one output that is offered")
    bench.until(lambda: offered(bench) == topics(["confidence"]), "its topic")
    bench.until(bench.camera.get_subscription_count, "the node's subscription")
    bench.wait_value("publishers", "1")
    bench.camera.publish(bench.image(0))
    bench.until(lambda: confidences, "a confidence without a mask")

    for i, names in enumerate((["mask"], list(OUTPUTS), ["mask", "overlay"]), start=1):
        assert bench.set_parameter("outputs", names).successful
        bench.until(lambda: offered(bench) == topics(names), f"the topics {names}")  # noqa: B023
        count = str(len({"mask", "confidence"} & set(names)))
        bench.wait_value("output_subscribers", count)
        bench.segment(bench.image(i))
    assert [stamp_ns(m) for m in bench.masks] == [START_NS + i * FRAME_NS for i in (1, 2, 3)]
    bench.spin(0.3)
    assert [stamp_ns(m) for m in confidences] == [START_NS + i * FRAME_NS for i in (0, 2)]
    for names in ([""], ["mask", "depth"]):
        reason = bench.set_parameter("outputs", names).reason
        assert f"parameter outputs: found {names}, expected one or more of mask, confidence" in reason


def test_a_rate_limit_skips_and_counts(bench: Bench, start_node: Start) -> None:
    start_node("-p", "qos_overrides./image_raw.subscription.depth:=50", "-p",
               "qos_overrides./image_raw.subscription.reliability:=reliable")  # fmt: skip
    bench.node.destroy_publisher(bench.camera)
    bench.camera = bench.node.create_publisher(Image, "image_raw", bench.reliable(50))
    bench.ready()
    for i in range(4):
        bench.segment(bench.image(i))
    assert bench.wait_value("frames_segmented", "4")["frames_skipped_rate_limit"] == "0"
    assert bench.set_parameter("max_rate_hz", 5.0).successful
    for i in range(4, 24):  # 10 Hz by their stamps
        bench.camera.publish(bench.image(i))
    bench.wait_value("frames_received", "24")
    bench.until(lambda: unaccounted(bench.camera_values()) == 0, "all to be accounted for")
    values = bench.camera_values()
    counted = sum(int(values[f"frames_{what}"]) for what in ("segmented", "dropped", "skipped_rate_limit"))
    assert counted == int(values["frames_received"]) == 24
    assert 9 <= int(values["frames_skipped_rate_limit"]) <= 11
    assert values["resets"] == "0"
    assert bench.set_parameter("max_rate_hz", 0.0).successful
    bench.segment(bench.image(24))
    bench.segment(bench.image(25))


def test_subscribers_appear_and_vanish_while_images_flow(bench: Bench, start_node: Start) -> None:
    node = start_node()
    bench.ready()
    bench.segment(bench.image(0))
    dice = random.Random(0)
    guests: dict[str, list] = {}
    for i in range(1, 41):
        name = dice.choice(["confidence", "stability", "color", "overlay"])
        if name in guests:
            (guest,) = (s for s in bench.node.subscriptions if s.topic_name == f"/segmentation/{name}")
            bench.node.destroy_subscription(guest)
            del guests[name]
        else:
            guests[name] = bench.listen(name)
        bench.segment(bench.image(i))
    assert [stamp_ns(m) for m in bench.masks] == [START_NS + i * FRAME_NS for i in range(41)]
    seen = len(bench.diagnostics)
    bench.until(lambda: len(bench.diagnostics) > seen + 1, "diagnostics that are newer")
    bench.wait_value("output_subscribers", str(1 + len(guests)))
    mask = bench.segment(bench.image(41))
    stamp = stamp_ns(mask)
    bench.until(lambda: all(m and stamp_ns(m[-1]) == stamp for m in guests.values()), "what the guests came for")
    assert bench.wait_value("frames_segmented", "42")["resets"] == "0"
    assert node.alive
