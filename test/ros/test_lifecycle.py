"""Transitions in any order, many times; and a process that ends with code 0 whenever it is told to."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from t2g_ros.ros.node import SegmentNode
from t2g_ros.ros.parameters import OUTPUTS

from .bench import WAIT_S, Bench, NodeProcess, stamp_ns

Start = Callable[..., NodeProcess]
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
# state -> transition -> next state
ALLOWED = {
    "unconfigured": {CONFIGURE: "inactive"},
    "inactive": {CLEANUP: "unconfigured", ACTIVATE: "active"},
    "active": {DEACTIVATE: "inactive"},
}


PAIRS = {(0, CONFIGURE), (CONFIGURE, CLEANUP), (CONFIGURE, ACTIVATE), (CLEANUP, CONFIGURE), (ACTIVATE, DEACTIVATE),
         (DEACTIVATE, ACTIVATE), (DEACTIVATE, CLEANUP)}  # fmt: skip
"""Of what is allowed after what; 0 is the start."""


def held(node: NodeProcess) -> tuple[int, int]:
    """How many threads and file descriptors the node has, as the system counts them."""
    process = Path(f"/proc/{node.process.pid}")
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


OF_EVERY_NODE = {"/rosout", "/parameter_events", "/segmentation/label_info"} | {
    f"/segment_node/{name}"
    for name in ("transition_event", "change_state", "get_state", "get_available_states", "get_available_transitions",
                 "get_transition_graph", "get_type_description", "describe_parameters", "get_parameter_types",
                 "get_parameters", "list_parameters", "set_parameters", "set_parameters_atomically")
}  # fmt: skip
"""Names of every lifecycle node, and the one that vision_msgs brings."""
ALWAYS = {"/diagnostics", "/segment_node/enable", "/segment_node/reset_memory"}


def names(bench: Bench) -> set[str]:
    """Topics and services of the node beyond those of every node."""
    return (bench.used("publisher") | bench.used("subscriber") | bench.used("service")) - OF_EVERY_NODE


def test_fifty_transitions_in_any_order_keep_to_the_state_machine_and_leak_nothing(
    bench: Bench, start_node: Start
) -> None:
    node = start_node(autostart=False)
    state = "unconfigured"
    assert bench.state() == state
    outputs = {f"/segmentation/{name}" for name in ("labels", *OUTPUTS)}
    expected = {"unconfigured": ALWAYS, "inactive": ALWAYS | outputs}
    expected["active"] = expected["inactive"] | {"/image_raw", "/camera_info"}
    dice = random.Random(0)
    segmented = step = made = 0
    holdings: dict[str, list[tuple[int, int]]] = {name: [] for name in ALLOWED}
    pairs: set[tuple[int, int]] = set()
    last = 0
    while made < 50 or len(pairs) < len(PAIRS):
        step += 1
        # Half of them as the state allows, and activation more often than giving the model up.
        among = dice.choice([[*ALLOWED[state], *ALLOWED[state].keys() - {CLEANUP}], [1, 2, 3, 4]])
        transition = dice.choice(among)
        allowed = transition in ALLOWED[state]
        assert bench.transition(transition) is allowed, (step, state, transition)
        state = ALLOWED[state].get(transition, state)
        assert bench.state() == state
        made += allowed
        if allowed:
            pairs.add((last, transition))
            last = transition
        if state == "active":
            bench.ready()
            bench.segment(bench.image(step))
            segmented += 1
        else:
            bench.camera.publish(bench.image(step))
        bench.until(lambda: names(bench) == expected[state], f"names while {state}")  # noqa: B023
        holdings[state].append(held(node))
    assert pairs == PAIRS
    assert segmented > 5
    assert len(bench.masks) == segmented
    for visits in holdings.values():
        # Libraries start threads of their own in the first rounds; whatever is kept of a round shows in the later ones.
        half = len(visits) // 2
        assert half >= 5
        for kind in zip(*visits, strict=True):
            assert max(kind[half:]) <= max(kind[:half]), holdings


def test_deactivation_keeps_the_model_and_reactivation_empties_the_memory(bench: Bench, start_node: Start) -> None:
    start_node()
    bench.ready()
    bench.segment(bench.image(0))
    assert bench.transition(DEACTIVATE)
    bench.wait_status("inactive", len(bench.statuses) - 2)
    assert bench.transition(ACTIVATE)
    bench.ready()
    bench.spin(0.5)
    bench.segment(bench.image(1))
    values = bench.wait_value("frames_segmented", "2")
    assert values["resets_reactivation"] == "1"
    assert values["clip_frames"] == "1"


def test_a_frame_that_waits_for_its_future_is_forgotten_by_a_deactivation_too(bench: Bench, start_node: Start) -> None:
    start_node(lag_frames=2)
    bench.ready()
    bench.camera.publish(bench.image(0))
    bench.wait_value("frames_waiting", "1")
    for transition in (DEACTIVATE, ACTIVATE):
        assert bench.transition(transition)
    bench.ready()
    bench.wait_value("frames_waiting", "0")
    for index in (1, 2):
        bench.camera.publish(bench.image(index))
        bench.wait_value("frames_waiting", str(index))
    bench.camera.publish(bench.image(3))
    bench.until(lambda: bench.masks, "the first mask")
    assert stamp_ns(bench.masks[0]) == stamp_ns(bench.image(1))
    assert bench.wait_value("frames_segmented", "1")["resets_reactivation"] == "1"


def test_build_only_fills_the_cache_and_stays_inactive(bench: Bench, start_node: Start, tmp_path: Path) -> None:
    node = start_node(build_only=True, runtime="openvino", cache=tmp_path / "cache")
    bench.until(lambda: "build_only: what the engine needs is built" in node.output, "the end of the build")
    assert bench.state() == "inactive"
    assert list((tmp_path / "cache").glob("*/encode.xml"))
    assert not bench.transition(ACTIVATE)
    assert "build_only is true: clean up the node and set it to false" in node.output
    assert node.end() == 0


@pytest.mark.parametrize(("before", "shutdown"), [([], 5), ([CONFIGURE], 6), ([CONFIGURE, ACTIVATE], 7)])
def test_a_shut_down_node_stays_quiet(bench: Bench, start_node: Start, before: list[int], shutdown: int) -> None:
    node = start_node(autostart=False)
    for transition in before:
        assert bench.transition(transition)
    if ACTIVATE in before:
        bench.ready()
        bench.segment(bench.image(0))
    assert bench.transition(shutdown)
    assert bench.state() == "finalized"
    bench.camera.publish(bench.image(1))
    bench.spin(1.0)
    assert len(bench.masks) == (ACTIVATE in before)
    assert node.end() == 0


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)


def ends_cleanly(node: NodeProcess, number: int) -> None:
    assert node.end(number) == 0, node.output
    assert "Traceback" not in node.output


@SIGNALS
@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
def test_ends_while_it_starts(start_node: Start, number: int, delay_s: float) -> None:
    node = start_node()
    end = time.monotonic() + WAIT_S
    while not node.handles_signals():
        assert time.monotonic() < end
        time.sleep(0.001)
    time.sleep(delay_s)
    ends_cleanly(node, number)


@SIGNALS
def test_ends_while_it_compiles_a_model(start_node: Start, number: int, tmp_path: Path) -> None:
    empty = tmp_path / "cache"
    empty.mkdir()
    node = start_node(cache=empty, runtime="openvino", input_size="[512, 1024]")
    deadline = time.monotonic() + WAIT_S
    while not any(empty.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    ends_cleanly(node, number)
    assert "loaded in" not in node.output


def test_a_start_after_one_that_was_ended_while_it_built_works_and_cleans_up(
    bench: Bench, start_node: Start, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    small = {"cache": cache, "runtime": "openvino", "input_size": "[64, 128]"}
    first = start_node(**small)
    bench.until(lambda: list(cache.iterdir()), "the build to begin")
    assert "loaded in" not in first.output
    ends_cleanly(first, signal.SIGTERM)
    bench.processes.clear()
    second = start_node(**small)
    bench.until(lambda: "loaded in" in second.output, "a whole build", timeout_s=120)
    bench.ready()
    bench.segment(bench.image(0))
    built = [{file.name for file in folder.iterdir()} for folder in cache.iterdir()]
    assert sorted(built, key=len) == [
        {"encode.blob", "decode.blob", "sha256"},
        {"encode.xml", "encode.bin", "decode.xml", "decode.bin", "sha256"},
    ]


@SIGNALS
def test_ends_while_active(bench: Bench, start_node: Start, number: int) -> None:
    node = start_node()
    bench.ready()
    bench.segment(bench.image(0))
    ends_cleanly(node, number)
    bench.processes.clear()
    # It says goodbye: of one that does not, DDS tells until its lease ends, 20 s later.
    bench.until(lambda: "segment_node" not in bench.node.get_node_names(), "its name to go", timeout_s=10)


def test_destroyed_in_a_process_that_goes_on_it_leaves_the_graph(bench: Bench, own_node: SegmentNode) -> None:
    own_node.trigger_configure()
    own_node.trigger_activate()
    bench.until(lambda: "/image_raw" in bench.used("subscriber"), "its subscription")
    assert own_node.stop(WAIT_S)
    own_node.destroy_node()
    bench.until(lambda: "segment_node" not in bench.node.get_node_names(), "its name to go", timeout_s=10)


def test_what_it_logged_last_is_in_the_file(
    bench: Bench, start_node: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    monkeypatch.setenv("ROS_LOG_DIR", str(logs))
    node = start_node()
    bench.until(lambda: "active: waiting for images" in node.output, "the end of its start")
    ends_cleanly(node, signal.SIGINT)
    assert any("active: waiting for images" in file.read_text() for file in logs.glob("*.log"))


@SIGNALS
def test_ends_under_load(bench: Bench, start_node: Start, number: int) -> None:
    overlays = bench.listen("overlay")
    node = start_node()
    bench.ready()
    for i in range(60):
        bench.camera.publish(bench.image(i))
        bench.spin(0.005)
        if i == 30:
            bench.until(lambda: overlays, "the first overlay")
            node.process.send_signal(number)
    assert node.process.wait(WAIT_S) == 0, node.output
    assert "Traceback" not in node.output
