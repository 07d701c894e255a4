"""How engines of TensorRT are built, cached and refused, with a stand-in for TensorRT, which runs on a GPU only."""

from __future__ import annotations

import json
import logging
import runpy
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.runtimes import cache
from t2g_ros.runtimes.engine_cache import Target

TARGET = Target("11.0", "some GPU", (8, 7), "f16")
Of = Callable[[Path], Any]


class Network:
    """What the parser leaves: an input and an output of the graph's size."""

    errors: tuple[str, ...] = ()

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.num_inputs = self.num_outputs = 1

    def get_input(self, _: int) -> Any:
        return SimpleNamespace(name="rgb", dtype="u8", shape=self.shape)

    def get_output(self, _: int) -> Any:
        return SimpleNamespace(name="mask", dtype="f16", shape=self.shape)


class Engine:
    """A plan that was read back: what was built, as JSON."""

    def __init__(self, plan: bytes) -> None:
        self.shape = tuple(json.loads(plan)["shape"])
        self.num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("rgb", "mask")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "rgb" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return "u8" if name == "rgb" else "f16"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape


class Cache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return b"timings"


class Config:
    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.cleared: list[str] = []
        self.progress_monitor: Any = None

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def create_timing_cache(self, data: bytes) -> Cache | None:
        return Cache(data) if data in (b"", b"timings") else None

    def set_timing_cache(self, timings: Cache, ignore_mismatch: bool) -> bool:
        self.timings = timings
        return True

    def get_timing_cache(self) -> Cache:
        return self.timings


class Builder:
    """Builds at once, and remembers how it was told to."""

    built: list[Config]
    gives_up = False

    def __init__(self, _: Any) -> None:
        pass

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> Config:
        return Config(self)

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        assert network.flags == 1 << 3, "not strongly typed"
        config.progress_monitor.phase_start("Tactics", None, 7)
        assert config.progress_monitor.step_complete("Tactics", 3)
        config.progress_monitor.phase_finish("Tactics")
        self.built.append(config)
        return None if self.gives_up else json.dumps({"shape": network.shape}).encode()


class Parser:
    def __init__(self, network: Network, _: Any) -> None:
        self.network = network
        self.num_errors = len(Network.errors)

    def parse_from_file(self, path: str) -> bool:
        self.network.shape = (1, len(Path(path).read_bytes()))
        return not Network.errors

    def get_error(self, index: int) -> str:
        return Network.errors[index]


def deserialized(plan: bytes) -> Engine | None:
    try:
        return Engine(plan)
    except ValueError:
        return None


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Of:
    """`_Engines.of`, its cache in a folder of its own."""
    fake: Any = ModuleType("tensorrt")
    severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)
    fake.__version__ = "11.0"
    fake.float32, fake.float16, fake.bfloat16, fake.uint8 = "f32", "f16", "bf16", "u8"
    fake.ILogger = type("ILogger", (), {"Severity": severity})
    fake.IProgressMonitor = type("IProgressMonitor", (), {})
    fake.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=3)
    fake.BuilderFlag = SimpleNamespace(TF32="tf32")
    fake.TensorIOMode = SimpleNamespace(INPUT="in")
    fake.Builder, fake.OnnxParser = Builder, Parser
    fake.Runtime = lambda _: SimpleNamespace(deserialize_cuda_engine=deserialized)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(Builder, "built", [], raising=False)
    module = runpy.run_path(str(Path(cache.__file__).with_name("tensorrt.py")))  # and not for the tests after this
    engines = module["_Engines"]("tiny", TARGET, SimpleNamespace(current=nullcontext))
    found: Of = engines.of
    return found


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "encode.onnx"
    file.write_bytes(b"graph")
    return file


def test_an_engine_is_built_once_per_graph(of: Of, graph: Path, tmp_path: Path) -> None:
    assert of(graph).shape == (1, 5)
    assert of(graph).shape == (1, 5)
    assert len(Builder.built) == 1
    assert Builder.built[0].cleared == ["tf32"]
    graph.write_bytes(b"another")
    assert of(graph).shape == (1, 7)
    assert len(Builder.built) == 2
    assert len(list((tmp_path / "cache" / "tensorrt").glob("encode-*.engine"))) == 2


@pytest.mark.parametrize("found", [b"", b"cut off", json.dumps({"shape": (1, 4)}).encode()])
def test_one_that_cannot_be_read_or_is_of_other_sizes_is_built_again(
    of: Of, graph: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, found: bytes
) -> None:
    of(graph)
    (file,) = (tmp_path / "cache" / "tensorrt").glob("*.engine")
    whole = file.read_bytes()
    file.write_bytes(found)
    with caplog.at_level(logging.WARNING):
        assert of(graph).shape == (1, 5)
    assert f"engine {file}: " in caplog.text
    assert "building it again" in caplog.text
    assert (len(Builder.built), file.read_bytes()) == (2, whole)


@pytest.mark.parametrize("found", [b"timings", b"damaged", None])
def test_timings_are_kept_and_damaged_ones_given_up(of: Of, graph: Path, tmp_path: Path, found: bytes | None) -> None:
    timing = tmp_path / "cache" / "tensorrt" / "timing.cache"
    timing.parent.mkdir(parents=True)
    if found is None:
        timing.mkdir()  # what cannot be read
    else:
        timing.write_bytes(found)
    assert of(graph).shape == (1, 5)
    assert Builder.built[0].timings.data == (found if found == b"timings" else b"")
    if found is not None:
        assert timing.read_bytes() == b"timings"


def test_a_cache_that_cannot_be_written_costs_a_build_at_every_start(of: Of, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    for builds in (1, 2):
        assert of(graph).shape == (1, 5)
        assert len(Builder.built) == builds


def test_what_tensorrt_refuses_is_told(of: Of, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Builder, "gives_up", True)
    with pytest.raises(RuntimeUnavailable, match="the engine could not be built"):
        of(graph)
    monkeypatch.setattr(Network, "errors", ("node 3: no such operator", "node 4: neither"))
    with pytest.raises(RuntimeUnavailable, match=r"does not take encode: node 3: no such operator; node 4: neither"):
        of(graph)
