"""TensorRT engines on disk: whose they are, whether they fit, and what is said while one is built."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from t2g_ros.runtimes.engine_cache import Progress, Target, Tensor, misfit, real_precision, write_atomically

TARGET = Target("10.16.1", "NVIDIA Orin", (8, 7), "f16")
TENSORS = [Tensor("rgb", "input", "u8", (1, 64, 128, 3)), Tensor("keys", "output", "f16", (1, 2, 32, 32))]


def test_an_engine_belongs_to_a_graph_a_version_a_gpu_and_a_precision(tmp_path: Path) -> None:
    graph = tmp_path / "encode.onnx"
    graph.write_bytes(b"graph")
    key = TARGET.key(graph)
    assert TARGET.key(graph) == key
    others = [
        replace(TARGET, tensorrt="11.4.0"),
        replace(TARGET, gpu="NVIDIA Thor"),
        replace(TARGET, capability=(11, 0)),
        replace(TARGET, precision="bf16"),
    ]
    keys = {key, *(other.key(graph) for other in others)}
    graph.write_bytes(b"another graph")
    keys.add(TARGET.key(graph))
    (tmp_path / "encode.onnx.data").write_bytes(b"weights that lie beside it")
    assert len({*keys, TARGET.key(graph)}) == 7


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (TENSORS, None),
        (TENSORS[::-1], None),
        (TENSORS[:1], "it lacks keys"),
        ([*TENSORS, Tensor("depth", "output", "f16", (1,))], "it has depth besides"),
        (
            [TENSORS[0], replace(TENSORS[1], element="f32")],
            "keys is output f32 [1, 2, 32, 32], expected output f16 [1, 2, 32, 32]",
        ),
        (
            [replace(TENSORS[0], shape=(1, 128, 256, 3)), TENSORS[1]],
            "rgb is input u8 [1, 128, 256, 3], expected input u8 [1, 64, 128, 3]",
        ),
        (
            [replace(TENSORS[0], direction="output"), TENSORS[1]],
            "rgb is output u8 [1, 64, 128, 3], expected input u8 [1, 64, 128, 3]",
        ),
    ],
)
def test_an_engine_that_does_not_fit_is_found(found: list[Tensor], problem: str | None) -> None:
    assert misfit(found, TENSORS) == problem


@pytest.mark.parametrize(
    ("asked", "capability", "real"),
    [("auto", (8, 7), "f16"), ("f32", (5, 3), "f32"), ("bf16", (8, 0), "bf16"), ("bf16", (7, 2), "f16")],
)
def test_the_precision_in_use_is_what_the_gpu_has(
    asked: str, capability: tuple[int, int], real: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert real_precision(asked, capability) == real
    assert ("compute capability 7.2) has no bf16, computing in f16" in caplog.text) is (capability == (7, 2))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "encode.engine"
    assert write_atomically(path, b"first")
    assert write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_told_and_gone_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "encode.engine").mkdir()
    assert not write_atomically(tmp_path / "encode.engine", b"engine")
    assert "cannot be written" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["encode.engine"]


def test_a_build_is_heard_of_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    progress = Progress("t2g_tiny", clock=lambda: now)
    for step in range(301):
        now = 100.0 + step / 10
        progress.step("tactics", step, 301)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert told[0] == "building the TensorRT engine of t2g_tiny, please wait: 10 s so far, tactics 100/301"
