"""Weights and caches that change, break or cannot be written under a node, over DDS."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from .bench import WAIT_S, Bench, NodeProcess, pixels

Start = Callable[..., NodeProcess]
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4


@pytest.fixture
def model(random_model: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    shutil.copy(random_model.with_suffix(".yaml"), tmp_path / "tiny_test.yaml")
    return Path(shutil.copy(random_model, tmp_path / "tiny_test.safetensors"))


def test_weights_replaced_on_disk_are_taken_at_the_next_configure_only(
    bench: Bench, start_node: Start, model: Path
) -> None:
    from safetensors.torch import load_file, save_file

    node = start_node(model=model, runtime="torch")
    bench.ready()
    mask = bench.segment(bench.image(0))
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])  # in place, as `cp` does, and cut off
    for index in (1, 2, 3):
        bench.segment(bench.image(index))
    status = bench.wait_status("model tiny_test has changed on disk since the node was configured", len(bench.statuses))
    assert (status.level, bench.values(status)["files_state"]) == (DiagnosticStatus.WARN, "changed")
    model.write_bytes(whole)
    status = bench.wait_status("model tiny_test on torch", len(bench.statuses))
    assert (status.level, bench.values(status)["files_state"]) == (DiagnosticStatus.OK, "ok")
    model.write_bytes(whole[: len(whole) // 2])
    for transition in (DEACTIVATE, CLEANUP):
        assert bench.transition(transition)
    assert not bench.transition(CONFIGURE)
    status = bench.wait_status("not a readable safetensors file")
    assert str(model) in status.message
    model.write_bytes(whole)
    weights = {key: value + 0.05 for key, value in load_file(model).items()}
    save_file(weights, model, metadata={"format": "t2g_ros", "labels": "cityscapes19"})
    assert bench.transition(CONFIGURE)
    assert bench.transition(ACTIVATE)
    bench.ready()
    other = bench.segment(bench.image(0))
    assert (pixels(other) != pixels(mask)).any()
    assert "Traceback" not in node.output


def test_a_damaged_cache_is_built_again_and_one_that_cannot_be_written_is_done_without(
    bench: Bench, start_node: Start, model_cache: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    node = start_node(runtime="openvino")
    bench.ready()
    mask = pixels(bench.segment(bench.image(0)))
    assert node.end() == 0
    bench.processes.clear()
    cache = Path(shutil.copytree(model_cache, tmp_path / "cache"))
    for weights in (*cache.glob("*/encode.bin"), *cache.glob("*/encode.blob")):
        weights.write_bytes(bytes(weights.stat().st_size))  # what some file systems leave after a power cut
    read_only = without_rights_to_write()
    cache.chmod(0o555)
    start_node(runtime="openvino", cache=cache, program=read_only)
    node = bench.processes[-1]
    bench.until(lambda: "active: waiting" in node.output, "the conversion", timeout_s=2 * WAIT_S)
    bench.ready()
    np.testing.assert_array_equal(pixels(bench.segment(bench.image(0))), mask)
    assert node.output.count("the model is converted at every start") == 1
    assert node.output.count(": damaged; building it again") == 2  # the graphs, and what was compiled of them
    status = bench.wait_status("made anew at every start")
    assert (status.name, status.level) == ("segment_node: model", DiagnosticStatus.WARN)
    assert bench.values(status)["cache_state"] == "not kept"
    cache.chmod(0o755)
    status = bench.wait_status("model tiny_test on openvino", len(bench.statuses))
    assert status.level == DiagnosticStatus.OK
    assert bench.values(status)["cache_state"] == "ok"


def without_rights_to_write() -> tuple[str, ...]:
    """The node's program; for root without the right to write where nobody may."""
    program = (sys.executable, "-m", "t2g_ros.ros.segment_node")
    if os.geteuid():
        return program
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may write everywhere; needs setpriv, or another user")
    return (setpriv, "--bounding-set=-dac_override", "--inh-caps=-dac_override", *program)
