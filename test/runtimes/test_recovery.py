"""An engine that keeps failing is given up and loaded again, ever less often; one that works is left alone."""

from __future__ import annotations

import gc
import logging
import shutil
import time
import weakref
from contextlib import suppress
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from t2g_ros.errors import EngineDown, ModelError
from t2g_ros.labels import space
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.runtimes.recovery import RecoveringRuntime, load_recovering
from t2g_ros.runtimes.reloading import FAILURES, LONGEST_WAIT_S, is_out_of_memory

IMAGE = np.zeros((64, 64, 3), np.uint8)
OFFSETS_S, VALID = np.zeros(5, np.float32), np.ones(5, np.float32)


class Engine:
    """An engine of which the test says when it fails."""

    name, precision, device, reason, model_name = "torch", "f32", "cpu", "asked for", "tiny"
    labels, input_size, slots, memory_bytes, gpu_memory_bytes = space("cityscapes19"), (64, 64), 5, 1000, None
    batch_frames = 4

    def __init__(self, world: World) -> None:
        world.loads.append(world.now)
        world.now += world.load_s
        if world.load_error:
            raise world.load_error.with_traceback(None)
        self.world = world
        self.buffers = np.zeros(1000)

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        if self.world.error:
            raise self.world.error.with_traceback(None)  # as a new one, whose traceback begins here

    def another(self) -> Engine:
        other = copy(self)
        other.buffers = np.zeros(1000)
        return other

    def encode_batch(self, images: np.ndarray, places: list[tuple[Engine, int]]) -> None:
        for image, (engine, slot) in zip(images, places, strict=True):
            engine.encode(image, slot)

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.world.decode_error:
            raise self.world.decode_error
        return np.zeros((32, 32), np.uint8), np.zeros((16, 16), np.uint8)

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return np.zeros((19, 16, 16), np.float32)


class World:
    """Time, what goes wrong, and when engines were loaded."""

    def __init__(self) -> None:
        self.now = 100.0
        self.load_s = 0.0
        self.error: Exception | None = None
        self.decode_error: Exception | None = None
        self.load_error: Exception | None = None
        self.loads: list[float] = []
        self.runtime = RecoveringRuntime(lambda: Engine(self), lambda: self.now)

    def frame(self) -> str:
        """Segment one, and say what came of it."""
        try:
            self.runtime.encode(IMAGE, 0)
            self.runtime.decode(0, OFFSETS_S, VALID)
        except EngineDown:
            return "down"
        except Exception as error:
            return str(error)
        return "mask"

    def frames(self, seconds: float, period_s: float = 0.01) -> list[str]:
        end = self.now + seconds
        found = []
        while self.now < end:
            found.append(self.frame())
            self.now += period_s
        return found


def test_a_frame_that_fails_costs_no_engine_but_several_in_a_row_do() -> None:
    world = World()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            world.error = RuntimeError("a bad moment")
            assert world.frame() == "a bad moment"
        world.error = None
        assert world.frame() == "mask"
    assert (len(world.loads), world.runtime.recreations, world.runtime.trouble) == (1, 0, None)
    world.error = RuntimeError("crashed")
    assert [world.frame() for _ in range(FAILURES)] == ["crashed"] * FAILURES
    assert "given up: RuntimeError: crashed" in str(world.runtime.trouble)
    world.error = None
    assert world.frame() == "down"
    world.now += 0.05
    assert world.frame() == "mask"
    assert (len(world.loads), world.runtime.recreations, world.runtime.trouble) == (2, 1, None)


def test_an_engine_that_encodes_but_makes_no_mask_is_given_up_too() -> None:
    world = World()
    world.decode_error = RuntimeError("no kernel")
    for _ in range(FAILURES):
        world.frame()
    assert world.runtime.trouble


def test_it_is_loaded_ever_less_often_and_is_back_within_a_second_of_the_cause_s_end() -> None:
    world = World()
    world.error = RuntimeError("crashed")
    found = world.frames(20.0)
    waits = np.diff(world.loads[1:])
    assert waits[0] < 0.2
    assert (np.diff(waits[:4]) > 0).all()
    np.testing.assert_allclose(waits[5:], LONGEST_WAIT_S, atol=0.03)
    assert set(found) == {"crashed", "down"}
    world.error, ended = None, world.now
    while world.frame() != "mask":
        world.now += 0.1
    assert world.now - ended < 1
    # Once it works, all is forgotten: the next fault has its three chances and its first try at once.
    world.error = RuntimeError("crashed")
    loads = len(world.loads)
    assert world.frames(0.025) == ["crashed"] * 3
    world.frames(0.1)
    assert len(world.loads) > loads


def test_one_that_cannot_be_loaded_is_tried_on(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.error = world.load_error = RuntimeError("the driver is gone")
    with caplog.at_level(logging.INFO):
        assert world.frames(5.0)[FAILURES + 10 :].count("down") > 100
        assert "the driver is gone" in str(world.runtime.trouble)
        assert world.runtime.recreations == 0
        world.error = world.load_error = None
        assert "mask" in world.frames(0.6)
    assert world.runtime.recreations == 1
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert "engine torch on cpu: given up, and loaded again: RuntimeError: the driver is gone" in told[0]
    assert "works again" in told[1]


@pytest.mark.parametrize("load_s", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("at_loading", [False, True])
def test_waiting_and_loading_together_stay_within_a_second(load_s: float, at_loading: bool) -> None:
    world = World()
    world.load_s, world.error = load_s, RuntimeError("crashed")
    world.frames(8.0)
    assert world.runtime.recreations
    if at_loading:  # which fails at once, and so tells nothing of how long it takes
        world.load_s, world.load_error = 0.01, RuntimeError("no device")
        world.frames(8.0)
    recovered = []
    for k in range(10):
        world.frames(0.077 * k)
        world.error = world.load_error = None
        world.load_s, ended = load_s, world.now
        while world.frame() != "mask":
            world.now += 0.03
        recovered.append(world.now - ended)
        world.error = RuntimeError("crashed")
        world.load_error, world.load_s = (world.error, 0.01) if at_loading else (None, load_s)
        world.frames(8.0)
    assert max(recovered) < 0.9
    assert max(recovered) > load_s


@pytest.mark.parametrize("at_loading", [False, True])
def test_after_hours_it_is_still_tried(at_loading: bool) -> None:
    world = World()
    world.error = RuntimeError("crashed")
    world.load_error = world.error if at_loading else None
    assert "mask" not in world.frames(3600.0, period_s=0.1)
    assert len(world.loads) > 3600 * 1.5
    assert str(world.runtime.trouble).startswith("engine torch given up: RuntimeError: crashed")
    world.error = world.load_error = None
    assert "mask" in world.frames(0.8, period_s=0.1)


def test_one_that_takes_long_to_load_is_not_loaded_all_the_time() -> None:
    world = World()
    world.load_s, world.error = 10.0, RuntimeError("crashed")
    world.frames(200.0)
    assert 5 < len(world.loads) < 15  # with half a second between them there were 19


def test_out_of_memory_costs_the_engine_at_once_and_all_that_it_held() -> None:
    world = World()
    held = weakref.ref(world.runtime._own.buffers)  # type: ignore[union-attr]

    def out_of_memory() -> Exception:
        try:
            torch.empty(1 << 60, dtype=torch.uint8)
        except RuntimeError as error:
            return error
        raise AssertionError("there is too much memory")

    world.error = out_of_memory()
    assert "allocate" in world.frame()
    world.error = None
    gc.collect()
    assert held() is None
    world.now += 0.1
    assert world.frame() == "mask"
    assert world.runtime.recreations == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp"), True),
        (RuntimeError("[ONNXRuntimeError] : Failed to allocate memory for requested buffer of size 100"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("shape"), False),
    ],
)
def test_what_engines_say_when_there_is_no_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_model_that_has_become_another_is_not_taken_behind_the_node_s_back(
    random_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(random_model, tmp_path))
    shutil.copy(random_model.with_suffix(".yaml"), tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    runtime = load_recovering(model=model, runtime="torch", precision="f32", input_size=(64, 128), threads=1)

    def next_try() -> str | None:
        """Give the engine up, and return what is wrong after it should have been loaded again."""
        runtime._shared.failed(MemoryError())
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with suppress(EngineDown):
                runtime.encode(image, 0)
        return runtime.trouble if runtime._own is None else None

    assert next_try() is None
    before = model.read_bytes()
    other = {key: value + 0.05 for key, value in load_file(model).items()}
    save_file(other, model, metadata={"format": "t2g_ros", "labels": "cityscapes19"})
    assert "has changed on disk since the node was configured" in str(next_try())
    model.write_bytes(before)
    assert next_try() is None


def test_a_real_engine_gives_the_same_masks_behind_it_before_and_after(random_model: Path) -> None:
    options = {"model": random_model, "runtime": "torch", "precision": "f32", "input_size": (64, 128), "threads": 1}
    plain, runtime = load_runtime(**options), load_recovering(**options)
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)

    def labels(of: Runtime) -> np.ndarray:
        of.encode(image, 0)
        return of.decode(0, OFFSETS_S, np.float32([1, 0, 0, 0, 0]))[0]

    expected = labels(plain)
    np.testing.assert_array_equal(labels(runtime), expected)
    for fact in ("name", "precision", "device", "model_name", "labels", "input_size", "slots", "memory_bytes"):
        assert getattr(runtime, fact) == getattr(plain, fact)
    for _ in range(FAILURES):
        with pytest.raises(RuntimeError, match=r"[Ss]izes? of tensor|channels|dimension"):
            runtime.encode(image[:, :64, :1], 0)  # torch itself refuses it
    assert runtime.trouble
    time.sleep(0.1)
    np.testing.assert_array_equal(labels(runtime), expected)
    assert (runtime.recreations, runtime.trouble) == (1, None)


def test_a_model_that_cannot_be_loaded_at_first_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_recovering(model=tmp_path / "none.safetensors", runtime="torch")


def test_streams_share_an_engine_and_each_is_told_once_that_what_it_remembers_is_lost() -> None:
    world = World()
    streams = [world.runtime, world.runtime.another(), world.runtime.another()]
    assert len(world.loads) == 1
    assert len({id(stream._own) for stream in streams}) == 3

    def segment(stream: RecoveringRuntime) -> str:
        world.runtime = stream
        return world.frame()

    assert [segment(stream) for stream in streams[:2]] == ["mask", "mask"]  # the third has not begun
    world.error = MemoryError("of the GPU")
    assert segment(streams[0]) == "of the GPU"
    world.error = None
    world.now += 1
    assert segment(streams[0]) == "mask"
    assert segment(streams[1]) == "down"  # its slots are empty now
    assert [segment(stream) for stream in streams] == ["mask"] * 3
    assert len(world.loads) == 2
    assert {stream.recreations for stream in streams} == {1}


def test_a_batch_that_fails_leaves_it_to_each_stream_to_forget() -> None:
    world = World()
    streams = [world.runtime, world.runtime.another()]
    images, places = np.stack([IMAGE] * 2), [(stream, 0) for stream in streams]
    streams[0].encode_batch(images, places)
    world.error = MemoryError("of the GPU")
    with pytest.raises(MemoryError):
        streams[0].encode_batch(images, places)
    world.error = None
    world.now += 1
    for stream in streams:
        with pytest.raises(EngineDown):
            streams[0].encode_batch(images, places)
        with pytest.raises(EngineDown, match=r"given up|loaded again"):
            stream.encode(IMAGE, 0)
        stream.encode(IMAGE, 0)
    streams[0].encode_batch(images, places)
