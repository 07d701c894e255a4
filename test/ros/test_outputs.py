"""What the node publishes, where, under which stamp, and that it is what the segmenter says."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from t2g_ros.drawing import overlay
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.inference.stability import StabilityMonitor
from t2g_ros.labels import CITYSCAPES19
from t2g_ros.ros.publishers import LATCHED_QOS
from t2g_ros.runtimes import load_runtime
from t2g_ros.types import Frame

from .bench import FRAME_NS, START_NS, Bench, NodeProcess, picture, pixels, stamp_ns

Start = Callable[..., NodeProcess]


def test_masks_equal_the_offline_ones_bit_for_bit_under_the_images_own_stamp_and_frame(
    bench: Bench, start_node: Start, random_model: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2G_CACHE_DIR", str(model_cache))
    confidences, stabilities = bench.listen("confidence"), bench.listen("stability")
    colors = bench.listen("color")
    start_node()
    bench.ready()
    # A rate that no clock divides, so that a stamp cannot be right by chance.
    stamps = [START_NS + i * 66_666_667 for i in range(6)]
    masks = [bench.segment(bench.image(i, stamp=stamp)) for i, stamp in enumerate(stamps)]
    bench.until(lambda: len(colors) == 6, "the colour images")

    offline = StreamSegmenter(load_runtime(random_model, threads=1))
    monitor = StabilityMonitor()
    for i, stamp in enumerate(stamps):
        expected = offline.step(Frame(picture(i), stamp, "front_optical"))
        assert expected is not None
        stability = monitor.update(expected).map
        assert len(np.unique(expected.labels)) > 2
        for msg, pixels_expected in (
            (masks[i], expected.labels),
            (confidences[i], expected.confidence),
            (stabilities[i], cv2.resize(stability, (160, 96), interpolation=cv2.INTER_NEAREST_EXACT)),
            (colors[i], CITYSCAPES19.colorize(expected.labels)),
        ):
            assert stamp_ns(msg) == stamp
            assert msg.header.frame_id == "front_optical"
            assert msg.encoding == ("rgb8" if msg is colors[i] else "mono8")
            assert (msg.height, msg.width) == (96, 160)
            assert msg.step * msg.height == len(msg.data)
            np.testing.assert_array_equal(pixels(msg), pixels_expected)


def test_a_late_subscriber_learns_what_the_ids_mean(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    late = bench.listen("labels", String, LATCHED_QOS)
    bench.until(lambda: late, "the labels")
    assert json.loads(late[0].data) == CITYSCAPES19.to_json()


def test_the_overlay_is_drawn_while_somebody_looks(bench: Bench, start_node: Start) -> None:
    start_node(overlay_alpha=0.25)
    bench.ready()
    bench.segment(bench.image(0))
    bench.wait_value("frames_segmented", "1")
    overlays = bench.listen("overlay")
    bench.wait_value("output_subscribers", "2")
    mask = bench.segment(bench.image(1))
    bench.until(lambda: overlays, "the overlay")
    assert [stamp_ns(msg) for msg in overlays] == [stamp_ns(mask)]
    np.testing.assert_array_equal(pixels(overlays[0]), overlay(picture(1), pixels(mask), CITYSCAPES19, 0.25))


def test_masks_of_the_models_size_come_with_a_camera_info_of_that_size(bench: Bench, start_node: Start) -> None:
    infos = bench.listen("camera_info", CameraInfo)
    publisher = bench.node.create_publisher(CameraInfo, "camera_info", 1)
    start_node(output_resolution="model")
    bench.ready()
    bench.until(publisher.get_subscription_count, "the node to subscribe to camera_info")
    info = CameraInfo(width=160, height=96, distortion_model="plumb_bob", d=[0.1, 0.2, 0.0, 0.0, 0.3])
    info.k = [100.0, 0.0, 80.0, 0.0, 90.0, 48.0, 0.0, 0.0, 1.0]
    info.p = [100.0, 0.0, 80.0, -10.0, 0.0, 90.0, 48.0, 3.0, 0.0, 0.0, 1.0, 0.0]
    info.roi = RegionOfInterest(x_offset=10, y_offset=9, width=100, height=60)
    publisher.publish(info)
    bench.spin(0.5)
    mask = bench.segment(bench.image(0))
    bench.until(lambda: infos, "the camera_info")
    out = infos[0]
    assert (mask.width, mask.height) == (256, 128)
    assert (out.width, out.height) == (256, 128)
    assert out.header == mask.header
    sx, sy = 1.6, 128 / 96
    np.testing.assert_allclose(out.k, [100 * sx, 0, 80 * sx, 0, 90 * sy, 48 * sy, 0, 0, 1])
    np.testing.assert_allclose(out.p, [160, 0, 128, -16, 0, 120, 64, 4, 0, 0, 1, 0])
    assert list(out.d) == list(info.d)
    assert (out.roi.x_offset, out.roi.y_offset, out.roi.width, out.roi.height) == (16, 12, 160, 80)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images_give_the_masks_of_what_they_decode_to(
    bench: Bench, start_node: Start, suffix: str, random_model: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2G_CACHE_DIR", str(model_cache))
    camera = bench.node.create_publisher(CompressedImage, "image_raw/compressed", 10)
    start_node(image_transport="compressed")
    bench.until(camera.get_subscription_count, "the node to subscribe to image_raw/compressed")
    bench.wait_value("publishers", "1")  # discovery is not symmetric
    bench.wait_value("output_subscribers", "1")
    file = cv2.imencode(suffix, cv2.cvtColor(picture(3), cv2.COLOR_RGB2BGR))[1]
    msg = CompressedImage(header=bench.image(3).header, format="jpeg" if suffix == ".jpg" else "png")
    msg.data = file.tobytes()
    mask = bench.segment(msg, camera)
    decoded = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    expected = StreamSegmenter(load_runtime(random_model, threads=1)).step(Frame(decoded, 0))
    assert expected is not None
    np.testing.assert_array_equal(pixels(mask), expected.labels)


def test_a_lag_delays_the_masks_but_not_their_stamps(bench: Bench, start_node: Start) -> None:
    start_node(lag_frames=2)
    bench.ready()
    for i in range(3):
        bench.camera.publish(bench.image(i))
        bench.wait_value("frames_received", str(i + 1))
    bench.until(lambda: bench.masks, "the first mask")
    bench.camera.publish(bench.image(3))
    bench.until(lambda: len(bench.masks) == 2, "the second mask")
    assert [stamp_ns(m) for m in bench.masks] == [START_NS, START_NS + FRAME_NS]


def test_inference_pauses_while_nobody_listens_and_resumes_with_an_empty_memory(
    bench: Bench, start_node: Start
) -> None:
    start_node()
    bench.ready()
    bench.segment(bench.image(0))
    for subscription in list(bench.node.subscriptions):
        if subscription.topic_name == "/segmentation/mask":
            bench.node.destroy_subscription(subscription)
    bench.wait_value("output_subscribers", "0")
    bench.camera.publish(bench.image(1))
    values = bench.values(bench.wait_status("paused"))
    assert values["frames_segmented"] == "1"
    bench.masks = bench.listen("mask")
    bench.wait_value("output_subscribers", "1")
    bench.segment(bench.image(2))
    values = bench.wait_value("frames_segmented", "2")
    assert values["resets_resume"] == "1"
    assert values["clip_frames"] == "1"


def test_the_services_reset_and_switch(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    bench.segment(bench.image(0))
    bench.segment(bench.image(1))
    assert bench.wait_value("frames_segmented", "2")["clip_frames"] == "2"
    assert bench.call(Trigger, "segment_node/reset_memory", Trigger.Request()).success
    bench.segment(bench.image(2))
    values = bench.wait_value("frames_segmented", "3")
    assert (values["resets_reset_memory"], values["clip_frames"]) == ("1", "1")

    assert bench.call(SetBool, "segment_node/enable", SetBool.Request(data=False)).success
    bench.wait_status("disabled")
    bench.camera.publish(bench.image(3))
    bench.wait_value("frames_received", "4")
    assert bench.call(SetBool, "segment_node/enable", SetBool.Request(data=True)).success
    bench.segment(bench.image(4))
    values = bench.wait_value("frames_segmented", "4")
    assert values["resets_resume"] == "1"
    assert START_NS + 3 * FRAME_NS not in [stamp_ns(m) for m in bench.masks]


def test_diagnostics_tell_rates_stages_and_the_engine(bench: Bench, start_node: Start) -> None:
    start_node(precision="f32")
    bench.ready()
    status = bench.wait_status("waiting")
    before = bench.values(status)
    assert before["processing_time_ms"] == before["is_processing_time_ms_in_expected_range"] == "n/a"
    assert before["flicker"] == "n/a"
    for i in range(4):
        bench.segment(bench.image(i))
    values = bench.wait_value("frames_segmented", "4")
    stage_keys = [key for key in values if key.startswith("stage_") and key.endswith("_ms")]
    stages = {key: float(value) for key, value in values.items() if key in stage_keys}
    assert len(stages) == 8
    assert sum(stages.values()) == pytest.approx(float(values["processing_time_ms"]), rel=1e-3)
    assert values["is_processing_time_ms_in_expected_range"] == "true"
    assert values["consecutive_processing_delay_ms"] == "0"
    assert float(values["effective_rate_hz"]) == pytest.approx(10)
    assert float(values["effective_stride_s"]) == pytest.approx(0.1)
    assert 0 <= float(values["flicker"]) <= 1
    assert 0 < float(values["mean_confidence"]) <= 1
    assert int(values["memory_bytes"]) > 0
    assert not any("deadline" in key for key in values)  # that mode is off
    model = bench.values(bench.wait_status("in f32"))
    assert (model["model"], model["precision"], model["labels"]) == ("tiny_test", "f32", "cityscapes19")
    assert model["gpu_memory_bytes"] == "n/a"
    seen = len(bench.diagnostics)
    bench.until(lambda: len(bench.diagnostics) >= seen + 3, "one array per second")


def test_slow_frames_are_reported_as_late_and_then_as_an_error(bench: Bench, start_node: Start) -> None:
    start_node(max_allowed_processing_time_ms=0.1, max_acceptable_consecutive_delay_ms=600000.0)
    bench.ready()
    bench.segment(bench.image(0))
    bench.segment(bench.image(1))
    warned = bench.wait_status("late")
    assert warned.level == b"\1"
    assert "allowed are 0.1 ms" in warned.message
    assert bench.values(warned)["is_processing_time_ms_in_expected_range"] == "false"
    assert bench.set_parameter("max_acceptable_consecutive_delay_ms", 1.0).successful
    bench.segment(bench.image(2))
    failed = bench.wait_status("acceptable are 1 ms")
    assert failed.level == b"\2"
    assert bench.values(failed)["is_consecutive_processing_delay_in_range"] == "false"


def test_an_overrun_node_takes_the_latest_frame_and_counts_the_others(bench: Bench, start_node: Start) -> None:
    overlays = bench.listen("overlay")
    start_node("-p", "qos_overrides./image_raw.subscription.depth:=50", "-p",
               "qos_overrides./image_raw.subscription.reliability:=reliable")  # fmt: skip
    bench.node.destroy_publisher(bench.camera)
    bench.camera = bench.node.create_publisher(Image, "image_raw", bench.reliable(50))
    bench.ready()
    images = [bench.image(i) for i in range(20)]
    for msg in images:
        bench.camera.publish(msg)
    bench.wait_value("frames_received", "20")
    last = START_NS + 19 * FRAME_NS
    bench.until(lambda: overlays and stamp_ns(overlays[-1]) == last, "the mask of the newest frame")
    bench.until(lambda: int(bench.camera_values()["frames_segmented"]) == len(overlays), "the count")
    values = bench.camera_values()
    assert int(values["frames_dropped"]) == 20 - len(overlays) > 0
    assert values["frames_lost"] == "0"


def test_a_camera_that_restarts_begins_with_an_empty_memory(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    bench.segment(bench.image(0))
    bench.node.destroy_publisher(bench.camera)
    bench.until(lambda: bench.status("0 publisher") or bench.camera_values().get("publishers") == "0", "the departure")
    bench.camera = bench.node.create_publisher(Image, "image_raw", bench.reliable(10))
    bench.ready()
    bench.spin(0.5)
    bench.segment(bench.image(1))
    assert bench.wait_value("frames_segmented", "2")["resets_camera_restart"] == "1"
