"""The deadline mode over DDS: what a target does to the masks, and what /diagnostics says of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo

from .bench import FRAME_NS, START_NS, Bench, NodeProcess, stamp_ns

Start = Callable[..., NodeProcess]
ENGINE = {"runtime": "torch", "precision": "f32", "input_size": "[64, 128]"}


def test_a_target_that_cannot_be_met_leads_to_the_last_level_and_a_warning(bench: Bench, start_node: Start) -> None:
    calibrations = bench.node.create_publisher(CameraInfo, "camera_info", 10)
    start_node(target_latency_ms=0.1, output_resolution="model", **ENGINE)
    bench.ready()
    assert bench.camera_values()["deadline_level"] == "1 of 4: clip 5, 128x64"
    masks = [bench.segment(bench.image(i)) for i in range(12)]
    missed = bench.wait_status("is missed")
    assert missed.level == b"\1"
    assert "the target latency of 0.1 ms is missed at deadline level 4 of 4: clip 2, 64x64, the last" in missed.message
    values = bench.wait_value("frames_segmented", "12")
    assert values["state"] == "late"
    assert values["deadline_level"] == "4 of 4: clip 2, 64x64"
    assert values["deadline_switches"] == values["resets_deadline"] == values["resets"] == "1"
    assert values["clip_frames"] == "2"
    assert float(values["deadline_latency_ms"]) > 0.1
    # Each image has its mask, and the subscribers see no change of size.
    assert [stamp_ns(mask) for mask in bench.masks] == [START_NS + i * FRAME_NS for i in range(12)]
    assert {(mask.width, mask.height) for mask in masks} == {(128, 64)}
    assert bench.set_parameter("output_resolution", "source").successful
    mask = bench.segment(bench.image(12))
    assert (mask.width, mask.height) == (160, 96)
    refused = bench.set_parameter("target_latency_ms", 10.0)
    assert "settable while unconfigured" in refused.reason
    # One thing that is wrong does not hide the other.
    bench.until(calibrations.get_subscription_count, "the node to take calibrations")
    calibrations.publish(CameraInfo(width=160, height=96, k=[math.nan] * 9))
    bench.segment(bench.image(13))
    message = bench.wait_status("expected finite numbers").message
    assert "the target latency of 0.1 ms is missed" in message


def test_a_target_that_is_met_changes_nothing(bench: Bench, start_node: Start) -> None:
    start_node(target_latency_ms=60000.0, clip_span_s=0.5, **ENGINE)
    bench.ready()
    for i in range(12):
        bench.segment(bench.image(i))
    values = bench.wait_value("frames_segmented", "12")
    assert (values["state"], values["clip_frames"], values["resets"]) == ("ok", "5", "0")
    assert (values["deadline_level"], values["deadline_switches"]) == ("1 of 4: clip 5, 128x64", "0")
