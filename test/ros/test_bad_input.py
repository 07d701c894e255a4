"""Whatever comes in: told as found and expected, shown in diagnostics, survived, and the next frame is good."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from .bench import FRAME_NS, ROOT, START_NS, Bench, NodeProcess, Player, picture, pixels, stamp_ns

Start = Callable[..., NodeProcess]


def wrong_step(msg: Image) -> str:
    msg.step = 160
    return "found 46080 bytes of data, expected step x height = 160 x 96 = 15360"


def step_below_a_row(msg: Image) -> str:
    msg.step, msg.data = 160, bytes(160 * 96)
    return "found a step of 160 bytes, expected at least 480"


def short_data(msg: Image) -> str:
    msg.data = msg.data[:-1]
    return "found 46079 bytes of data, expected step x height = 480 x 96 = 46080"


def no_data(msg: Image) -> str:
    msg.data = b""
    return "found 0 bytes of data"


def zero_size(msg: Image) -> str:
    msg.height, msg.width, msg.step, msg.data = 0, 0, 0, b""
    return "found an image of 0x0 pixels, expected at least 1x1"


def unknown_encoding(msg: Image) -> str:
    msg.encoding = "ultraviolet8"
    return "encoding 'ultraviolet8' cannot be turned into rgb8"


def colourless_encoding(msg: Image) -> str:
    msg.encoding = "8UC3"
    return "encoding '8UC3' does not say which channel is which colour"


def impossible_stamp(msg: Image) -> str:
    msg.header.stamp.nanosec = 2_000_000_000
    return "found a stamp with 2000000000 nanoseconds"


def repeated_stamp(msg: Image) -> str:
    # The good frame before this one.
    stamp = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec - FRAME_NS
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp, 10**9)
    return "repeats the last one"


def test_a_bad_image_is_refused_by_name_and_the_next_good_one_is_segmented(bench: Bench, start_node: Start) -> None:
    confidences, stabilities = bench.listen("confidence"), bench.listen("stability")
    start_node()
    bench.ready()
    good = [bench.segment(bench.image(0))]
    spoilers = (wrong_step, step_below_a_row, short_data, no_data, zero_size, unknown_encoding, colourless_encoding,
                impossible_stamp, repeated_stamp)  # fmt: skip
    for i, spoil in enumerate(spoilers, start=1):
        msg = bench.image(2 * i)
        expected = spoil(msg)
        seen = len(bench.statuses)
        bench.camera.publish(msg)
        status = bench.wait_status(expected, seen)
        assert status.level == b"\2"
        assert bench.values(status)["state"] == "rejected"
        assert "/image_raw" in status.message
        assert bench.values(status)["frames_rejected"] == str(i)
        good.append(bench.segment(bench.image(2 * i + 1)))
        values = bench.wait_value("state", "ok")
        # A refused frame does not break the stream.
        assert values["resets"] == "0"
    bench.until(lambda: len(stabilities) == len(good), "all outputs")
    stamps = [stamp_ns(mask) for mask in good]
    for output in (bench.masks, confidences, stabilities):
        assert [stamp_ns(msg) for msg in output] == stamps


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda jpeg, png: jpeg[: len(jpeg) // 2], "found a truncated JPEG"),
        (lambda jpeg, png: jpeg[:-2], "found a truncated JPEG"),
        (lambda jpeg, png: png[: len(png) // 2], "found a truncated PNG"),
        (lambda jpeg, png: b"", "found 0 bytes that begin with nothing"),
        (lambda jpeg, png: b"RIFF1234WEBP", "expected a JPEG or PNG file"),
    ],
    ids=["half a JPEG", "no end marker", "half a PNG", "nothing", "another format"],
)
def test_a_damaged_file_is_refused(
    bench: Bench, start_node: Start, spoil: Callable[[bytes, bytes], bytes], expected: str
) -> None:
    camera = bench.node.create_publisher(CompressedImage, "image_raw/compressed", 10)
    start_node(image_transport="compressed")
    bench.until(camera.get_subscription_count, "the node to subscribe to image_raw/compressed")
    bench.wait_value("publishers", "1")  # discovery is not symmetric
    bench.wait_value("output_subscribers", "1")
    jpeg, png = (cv2.imencode(suffix, picture(0))[1].tobytes() for suffix in (".jpg", ".png"))

    def message(index: int, data: bytes) -> CompressedImage:
        return CompressedImage(header=bench.image(index).header, format="jpeg", data=data)

    camera.publish(message(0, spoil(jpeg, png)))
    status = bench.wait_status(expected)
    assert "/image_raw/compressed" in status.message
    assert bench.values(status)["state"] == "rejected"
    mask = bench.segment(message(1, jpeg), camera)
    assert [stamp_ns(m) for m in bench.masks] == [stamp_ns(mask)]


def test_breaks_in_the_stream_empty_the_memory_and_are_counted_by_cause(bench: Bench, start_node: Start) -> None:
    stabilities = bench.listen("stability")
    start_node(max_gap_s=1.0)
    bench.ready()
    other_size = picture(3, (60, 200))
    grey = bench.image(5)
    grey.encoding, grey.step, grey.data = "mono8", 160, picture(0)[..., 0].tobytes()
    steps = [
        (bench.image(0), {}),
        (bench.image(1), {}),
        (bench.image(2, stamp=START_NS - FRAME_NS), {"resets_stamp_backward": "1"}),
        (bench.image(3, stamp=START_NS), {}),
        (bench.image(4, stamp=START_NS + 2 * 10**9), {"resets_gap": "1"}),
        (bench.image(5, other_size, stamp=START_NS + 2 * 10**9 + FRAME_NS), {"resets_size_change": "1"}),
    ]
    resets = 0
    for i, (msg, expected) in enumerate(steps):
        mask = bench.segment(msg)
        assert (mask.height, mask.width) == (msg.height, msg.width)
        values = bench.wait_value("frames_segmented", str(i + 1))
        resets += len(expected)
        assert int(values["resets"]) == resets
        assert values | expected == values
        if i in (0, 2, 4, 5):
            bench.until(lambda: len(stabilities) == i + 1, "the stability map")  # noqa: B023
            assert values["clip_frames"] == "1"
            assert (pixels(stabilities[i]) == 255).all()
        else:
            assert values["clip_frames"] == "2"
    grey.header.stamp.sec, grey.header.stamp.nanosec = 1_700_000_002, 200_000_000
    bench.segment(grey)
    assert bench.wait_value("frames_segmented", "7")["resets_encoding_change"] == "1"


@pytest.mark.parametrize("configured_again", [False, True])
def test_a_jump_of_the_simulation_clock_empties_the_memory(
    bench: Bench, start_node: Start, configured_again: bool
) -> None:
    start_node(use_sim_time=True)
    bench.ready()
    if configured_again:
        again = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
        again += (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
        for transition in again:
            assert bench.transition(transition)
        bench.ready()
    tick = Player(bench).tick
    tick(START_NS)
    bench.segment(bench.image(0))
    before = int(bench.wait_value("frames_segmented", "1").get("resets_clock_jump", 0))
    tick(START_NS + 500_000_000)
    bench.segment(bench.image(1))
    values = bench.wait_value("frames_segmented", "2")
    assert int(values.get("resets_clock_jump", 0)) == before
    tick(START_NS - 10 * 10**9)
    bench.segment(bench.image(2))
    values = bench.wait_value("frames_segmented", "3")
    assert int(values["resets_clock_jump"]) == before + 1
    assert values["clip_frames"] == "1"


def test_a_silent_camera_is_stale_until_it_speaks(bench: Bench, start_node: Start) -> None:
    start_node(stale_after_s=0.5)
    bench.ready()
    waiting = bench.wait_status("waiting for the first image on /image_raw: 1 publisher(s) found")
    assert bench.values(waiting)["state"] == "waiting"
    bench.segment(bench.image(0))
    seen = len(bench.statuses)
    stale = bench.wait_status("stale", seen)
    assert stale.level == b"\2"
    assert "expected one within 0.5 s" in stale.message
    seen = len(bench.statuses)
    bench.segment(bench.image(1))
    bench.until(lambda: any(bench.values(s).get("state") == "ok" for s in bench.statuses[seen:]), "the camera to be ok")


def test_what_rclpy_itself_cannot_take_costs_nothing_else(bench: Bench, start_node: Start) -> None:
    node = start_node(use_sim_time=True)
    bench.ready()
    player = Player(bench)
    clock = bench.node.create_publisher(Clock, "/clock", 10)
    bench.until(clock.get_subscription_count, "the node to follow /clock")
    unknown = [ParameterMsg(name="palette", value=ParameterValue(type=42))]
    for kind, name in ((SetParameters, "set_parameters"), (SetParametersAtomically, "set_parameters_atomically")):
        bench.client(kind, f"segment_node/{name}").call_async(kind.Request(parameters=unknown))
    before_1970 = Clock()
    before_1970.clock.sec = -5
    clock.publish(before_1970)
    bench.until(lambda: "a callback failed" in node.output, "the log")
    bench.segment(bench.image(0))
    player.tick(START_NS)
    assert bench.set_parameter("palette", "cividis").successful
    bench.segment(bench.image(1))
    assert node.alive


def spoiled_models(model: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    from safetensors.torch import load_file, save_file

    def copy(name: str, data: bytes | None, config: str | None = None) -> Path:
        path = folder / f"{name}.safetensors"
        if data is not None:
            path.write_bytes(data)
        path.with_suffix(".yaml").write_text(config or model.with_suffix(".yaml").read_text())
        return path

    weights = model.read_bytes()
    config = model.with_suffix(".yaml").read_text()
    foreign = copy("foreign", b"")
    save_file({"layer.weight": load_file(model)[next(iter(load_file(model)))].clone()}, foreign)
    cases = {
        "truncated": (copy("truncated", weights[:1000]), "not a readable safetensors file"),
        "pickle": (copy("pickle", b"\x80\x04\x95" + bytes(100)), "not a readable safetensors file"),
        "foreign": (foreign, "do not belong to a tiny_test network"),
        "classes": (
            copy("classes", weights, config.replace("cityscapes19", "camvid11")),
            "(19 classes), expected camvid11 (11 classes)",
        ),
        "missing": (folder / "absent.safetensors", "no such file"),
    }
    if (ROOT / "models").is_dir():
        cases["unknown name"] = Path("t3g_huge"), "not a shipped model; shipped are ["
    return cases


def test_bad_weights_leave_the_node_waiting_for_good_ones(
    bench: Bench, start_node: Start, random_model: Path, tmp_path: Path
) -> None:
    models = spoiled_models(random_model, tmp_path)
    first, expected = models["truncated"]
    node = start_node(model=first)
    status = bench.wait_status("cannot configure")
    assert status.level == b"\2"
    assert expected in status.message
    assert str(first) in status.message
    for path, text in models.values():
        assert bench.set_parameter("model", str(path)).successful
        seen = len(bench.statuses)
        assert not bench.transition(1)
        status = bench.wait_status(text, seen)
        assert str(path) in status.message
        assert bench.state() == "unconfigured"
    assert not node.output.count("Traceback")
    assert bench.set_parameter("model", str(random_model)).successful
    assert bench.transition(1)
    assert bench.transition(3)
    bench.ready()
    bench.segment(bench.image(0))


@pytest.mark.parametrize(
    ("name", "value", "expected", "good"),
    [
        ("runtime", "cuda12", "found 'cuda12', expected one of auto, torch, openvino", "auto"),
        ("clip_span_s", -1.0, "Parameter clip_span_s out of range Min: 0.01, Max: 60.0, value: -1.0", 0.3),
        ("max_gap_s", 2, "to '2' of type 'INTEGER', expecting type ", 2.0),
        ("input_size", "[100, 200]", "found [100, 200], expected [height, width] in multiples of 64", [64, 128]),
        ("lag_frames", 9, "lag is 9, expected 0 to 4", 0),
        ("device", "tpu", "device 'tpu'", "cpu"),
    ],
)
def test_a_bad_parameter_at_start_is_reported_and_can_be_put_right(
    bench: Bench, start_node: Start, name: str, value: object, expected: str, good: object
) -> None:
    start_node(**{name: value})
    status = bench.wait_status("cannot configure")
    assert expected.replace("range Min", "range. Min") in status.message.replace("range Min", "range. Min")
    assert name.split("_")[0] in status.message
    assert bench.state() == "unconfigured"
    assert bench.set_parameter(name, good).successful
    assert bench.transition(1)


def test_parameters_are_checked_at_runtime_and_take_effect(bench: Bench, start_node: Start) -> None:
    confidences = bench.listen("confidence")
    start_node()
    bench.ready()
    bench.segment(bench.image(0))
    for name, value, expected in (
        ("min_confidence", 1.5, "Min: 0.0, Max: 1.0, value: 1.5"),
        ("output_resolution", "huge", "found 'huge', expected one of source, model"),
        ("model", "other", "settable while unconfigured only"),
        ("autostart", False, "read-only"),
        ("overlay_alpha", "much", "arameter type"),
    ):
        result = bench.set_parameter(name, value)
        assert not result.successful
        assert expected in result.reason
        assert name in result.reason or "type" in result.reason
    assert bench.set_parameter("output_resolution", "model").successful
    mask = bench.segment(bench.image(1))
    assert (mask.height, mask.width) == (128, 256)
    assert not (pixels(mask) == 255).any()
    assert bench.set_parameter("min_confidence", 1.0).successful
    mask = bench.segment(bench.image(2))
    bench.until(lambda: len(confidences) == 3, "the confidence")
    unsure = pixels(confidences[2]) < 255
    assert unsure.any()
    np.testing.assert_array_equal(pixels(mask) == 255, unsure)
