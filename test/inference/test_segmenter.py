"""The stream segmenter on a real engine: masks, resets, lag, sizes, and memory that does not grow."""

import gc
import tracemalloc
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pytest
import torch

import t2g_ros.runtimes.torch as torch_runtime
from t2g_ros.errors import InputError
from t2g_ros.inference.clip_memory import ClipMemory
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.checkpoint import load_model
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.types import NS_PER_S, Frame, Segmentation

SIZE = 64, 128
EPOCH_NS = 1_700_000_000 * NS_PER_S
WORLD = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 64, 3), dtype=np.uint8), (1024, 128))


@pytest.fixture(scope="module", params=[("torch", "random_model"), ("openvino", "write_back_model")], ids="-".join)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    name, model = request.param
    pytest.importorskip(name)
    weights = request.getfixturevalue(model)
    return load_runtime(weights, runtime=name, precision="f32", input_size=SIZE, threads=1)


@pytest.fixture
def segmenter(runtime: Runtime) -> StreamSegmenter:
    return StreamSegmenter(runtime)


def frame(time_s: float, size: tuple[int, int] = SIZE, x: float | None = None) -> Frame:
    """A view of a world past which the camera moves with time, or at `x` if given."""
    left = int(40 * time_s if x is None else x) % (WORLD.shape[1] - 128)
    rgb = cv2.resize(WORLD[:, left : left + 128], size[::-1], interpolation=cv2.INTER_LINEAR)
    return Frame(rgb, EPOCH_NS + round(time_s * NS_PER_S), "camera")


def stream(count: int, rate_hz: float = 10.0, start_s: float = 0.0) -> Iterator[Frame]:
    return (frame(start_s + i / rate_hz) for i in range(count))


def segment(segmenter: StreamSegmenter, *frames: Frame) -> list[Segmentation]:
    results = [segmenter.step(one) for one in frames]
    return [result for result in results if result is not None]


def assert_same_masks(found: Segmentation, expected: Segmentation) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


@pytest.mark.parametrize("rate_hz", [30.0, 10.0, 2.0])
@pytest.mark.parametrize("lag", [0, 2])
def test_streaming_equals_the_whole_clip(
    random_model: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: float, lag: int
) -> None:
    assert_streaming_equals_the_whole_clip(random_model, monkeypatch, rate_hz, lag, frames=36)


@pytest.mark.parametrize(("rate_hz", "lag"), [(4.0, 0), (2.0, 2)])
def test_what_streaming_writes_back_is_what_the_whole_clip_does(
    write_back_model: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: float, lag: int
) -> None:
    """As long as all frames of the stream are in memory; later ones have read some that are forgotten."""
    assert_streaming_equals_the_whole_clip(write_back_model, monkeypatch, rate_hz, lag, frames=5)


def assert_streaming_equals_the_whole_clip(
    model: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: float, lag: int, frames: int
) -> None:
    scores: list[torch.Tensor] = []

    def keep(found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores.append(found)
        return resolve(found)

    resolve = torch_runtime.resolve
    monkeypatch.setattr(torch_runtime, "resolve", keep)
    runtime = load_runtime(model, runtime="torch", precision="f32", input_size=SIZE, threads=1)
    segmenter = StreamSegmenter(runtime, clip_span_s=1.0, lag=lag)
    network, twin = load_model(model), ClipMemory(runtime.slots, 1.0, lag)
    by_stamp: dict[int, Frame] = {}
    for one in stream(frames, rate_hz):
        by_stamp[one.stamp_ns] = one
        twin.claim(one.stamp_ns)
        scores.clear()
        segmentation = segmenter.step(one)
        if segmentation is None:
            continue
        _, valid = twin.view(twin.reference() or 0)
        stamps_ns = sorted(twin.stamp_ns(slot) for slot in np.flatnonzero(valid).tolist())
        assert segmentation.clip_frames == len(stamps_ns)
        assert segmentation.clip_span_s == pytest.approx((stamps_ns[-1] - stamps_ns[0]) / NS_PER_S)
        clip = torch.from_numpy(np.stack([by_stamp[stamp].rgb for stamp in stamps_ns])).permute(0, 3, 1, 2)
        times_s = torch.tensor([[(stamp - stamps_ns[0]) / NS_PER_S for stamp in stamps_ns]])
        with torch.inference_mode():
            whole = network(clip[None].float(), times_s, stamps_ns.index(segmentation.frame.stamp_ns)).scores
        torch.testing.assert_close(scores[0], whole, atol=1e-4, rtol=0)


def test_the_memory_changes_the_mask(segmenter: StreamSegmenter, runtime: Runtime) -> None:
    *_, with_past = segment(segmenter, *stream(15, 15))
    (alone,) = segment(StreamSegmenter(runtime), frame(14 / 15))
    assert (with_past.clip_frames, alone.clip_frames) == (5, 1)
    assert (with_past.labels != alone.labels).mean() > 0.01


def test_the_same_stream_gives_the_same_masks(runtime: Runtime) -> None:
    first, second = (segment(StreamSegmenter(runtime), *stream(12)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert_same_masks(a, b)
    assert not np.array_equal(first[0].labels, first[-1].labels)


def test_results_are_not_overwritten_by_later_steps(segmenter: StreamSegmenter) -> None:
    (early,) = segment(segmenter, frame(0))
    kept = early.labels.copy(), early.confidence.copy(), early.model_labels.copy()
    segment(segmenter, *stream(8, start_s=0.1))
    for found, expected in zip((early.labels, early.confidence, early.model_labels), kept, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("following", "cause"),
    [
        (frame(0.2), "stamp_backward"),
        (frame(-1e6), "stamp_backward"),
        (frame(0.9 + 2.001), "gap"),
        (frame(1.0, (65, 128)), "size_change"),
        (frame(1.0, (128, 64)), "size_change"),
    ],
)
def test_what_does_not_continue_the_stream_resets_the_memory(
    segmenter: StreamSegmenter, runtime: Runtime, following: Frame, cause: str
) -> None:
    segment(segmenter, *stream(10))
    (after,) = segment(segmenter, following)
    assert after.reset_cause == cause
    assert after.clip_frames == 1
    assert segmenter.reset_counts == {cause: 1}
    (fresh,) = segment(StreamSegmenter(runtime), following)
    assert_same_masks(after, fresh)
    step_ns = NS_PER_S // 10
    (continued,) = segment(segmenter, Frame(following.rgb, following.stamp_ns + step_ns))
    assert continued.reset_cause is None
    assert continued.clip_frames == 2


def test_a_pause_within_the_limit_does_not_reset(segmenter: StreamSegmenter) -> None:
    *_, after = segment(segmenter, frame(0), frame(2.0))
    assert after.reset_cause is None
    assert not segmenter.reset_counts


def test_a_bag_that_loops_gives_the_same_masks_every_time(segmenter: StreamSegmenter) -> None:
    laps = [segment(segmenter, *stream(8)) for _ in range(3)]
    assert segmenter.reset_counts == {"stamp_backward": 2}
    for lap in laps[1:]:
        for a, b in zip(lap, laps[0], strict=True):
            assert_same_masks(a, b)


def test_reset_by_the_caller_is_counted_under_its_cause(segmenter: StreamSegmenter) -> None:
    segment(segmenter, *stream(5))
    segmenter.reset("service")
    (after,) = segment(segmenter, frame(0.5))
    assert (after.reset_cause, after.clip_frames) == ("service", 1)
    assert segmenter.reset_counts == {"service": 1}


@pytest.mark.parametrize("function", ["encode", "decode"])
def test_a_failing_engine_resets_the_memory_and_the_next_frame_works(
    segmenter: StreamSegmenter, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    segment(segmenter, *stream(5))

    def fail(*_: object) -> None:
        raise RuntimeError("device lost")

    with monkeypatch.context() as broken:
        broken.setattr(runtime, function, fail)
        with pytest.raises(RuntimeError, match="device lost"):
            segmenter.step(frame(0.5))
    assert segmenter.reset_counts == {"inference_error": 1}
    (after,) = segment(segmenter, frame(0.6))
    assert (after.reset_cause, after.clip_frames) == ("inference_error", 1)
    (fresh,) = segment(StreamSegmenter(runtime), frame(0.6))
    assert_same_masks(after, fresh)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (frame(0.4, x=300), "repeats the last"),
        (Frame(np.zeros((64, 128), np.uint8), EPOCH_NS), r"\(64, 128\), expected uint8 \(H, W, 3\)"),
        (Frame(np.zeros((64, 128, 4), np.uint8), EPOCH_NS), r"\(64, 128, 4\)"),
        (Frame(np.zeros((64, 128, 3), np.float32), EPOCH_NS), "float32"),
        (Frame(np.zeros((0, 128, 3), np.uint8), EPOCH_NS), r"\(0, 128, 3\)"),
    ],
)
def test_a_bad_frame_is_refused_and_the_memory_is_as_before(
    segmenter: StreamSegmenter, runtime: Runtime, bad: Frame, message: str
) -> None:
    segment(segmenter, *stream(5))
    with pytest.raises(InputError, match=message):
        segmenter.step(bad)
    (after,) = segment(segmenter, frame(0.5))
    *_, undisturbed = segment(StreamSegmenter(runtime), *stream(6))
    assert after.reset_cause is None
    assert not segmenter.reset_counts
    assert_same_masks(after, undisturbed)


@pytest.mark.parametrize("lag", [1, 3])
def test_a_lag_returns_the_frame_that_is_due(runtime: Runtime, lag: int) -> None:
    frames = list(stream(12))
    segmenter = StreamSegmenter(runtime, clip_span_s=1.0, lag=lag)
    results = [segmenter.step(one) for one in frames]
    assert results[:lag] == [None] * lag
    assert [result.frame for result in results[lag:] if result] == frames[:-lag]
    again = StreamSegmenter(runtime, lag=lag)
    segment(again, *frames)
    # After a reset the lag fills again, and the first result carries the cause.
    refilled = [again.step(one) for one in stream(lag + 1)]
    assert refilled[:lag] == [None] * lag
    assert refilled[lag] is not None
    assert refilled[lag].reset_cause == "stamp_backward"
    assert refilled[lag].frame.stamp_ns == EPOCH_NS


@pytest.mark.parametrize("size", [SIZE, (50, 70), (97, 301), (480, 640)])
def test_masks_have_the_size_asked_for_and_the_nearest_label(runtime: Runtime, size: tuple[int, int]) -> None:
    (at_source,) = segment(StreamSegmenter(runtime), frame(0, size))
    (at_model,) = segment(StreamSegmenter(runtime, output_resolution="model"), frame(0, size))
    for result, expected in ((at_source, size), (at_model, SIZE)):
        assert result.labels.shape == result.confidence.shape == expected
        assert result.labels.dtype == result.confidence.dtype == np.uint8
        assert result.model_labels.shape == (SIZE[0] // 2, SIZE[1] // 2)
        assert set(np.unique(result.model_labels)) <= set(range(19))
        # A centre may lie on the border between two cells: then either is the nearest.
        nearest = np.zeros(expected, bool)
        for row_tie, column_tie in product((0, 1), (0, 1)):
            rows, columns = (
                ((2 * np.arange(n) + 1) * m - tie) // (2 * n)
                for n, m, tie in zip(expected, result.model_labels.shape, (row_tie, column_tie), strict=True)
            )
            nearest |= result.labels == result.model_labels[rows][:, columns]
        assert nearest.all()
    assert at_source.frame.frame_id == "camera"


@pytest.mark.parametrize("lag", [0, 2])
def test_a_switch_goes_on_in_the_other_engine_and_loses_no_frame(
    runtime: Runtime, random_model: Path, lag: int
) -> None:
    options = {"runtime": runtime.name, "precision": "f32", "threads": 1}
    other = load_runtime(random_model, clip_frames=4, input_size=(64, 64), **options)
    segmenter = StreamSegmenter(runtime, lag=lag, output_resolution="model")
    frames = list(stream(12))
    before = segment(segmenter, *frames[:6])
    segmenter.switch(other, "deadline")
    after = segment(segmenter, *frames[6:])
    due = [one.stamp_ns for one in frames[: len(frames) - lag]]
    assert [segmentation.frame.stamp_ns for segmentation in (*before, *after)] == due
    assert {segmentation.labels.shape for segmentation in (*before, *after)} == {SIZE}
    assert [segmentation.reset_cause for segmentation in after] == ["deadline", *[None] * 5]
    assert segmenter.reset_counts == {"deadline": 1}
    assert segmenter.memory_bytes == other.memory_bytes
    alone = StreamSegmenter(other, lag=lag)
    for found, expected in zip(after, segment(alone, *frames[6 - lag :]), strict=True):
        np.testing.assert_array_equal(found.model_labels, expected.model_labels)
        assert (found.clip_frames, found.clip_span_s) == (expected.clip_frames, expected.clip_span_s)


def test_a_switch_before_a_lag_is_filled_keeps_what_waits(runtime: Runtime) -> None:
    segmenter = StreamSegmenter(runtime, lag=2)
    first, *others = stream(4)
    assert segmenter.step(first) is None
    segmenter.switch(runtime, "deadline")
    assert [found.frame.stamp_ns for found in segment(segmenter, *others)] == [first.stamp_ns, others[0].stamp_ns]


def test_a_switch_to_a_clip_that_the_lag_does_not_fit_changes_nothing(runtime: Runtime, random_model: Path) -> None:
    shorter = load_runtime(random_model, runtime=runtime.name, clip_frames=2, input_size=SIZE, threads=1)
    segmenter = StreamSegmenter(runtime, lag=2)
    first, second, *others = stream(4)
    segment(segmenter, first, second)
    with pytest.raises(ValueError, match="lag is 2, expected 0 to 1"):
        segmenter.switch(shorter, "deadline")
    assert [found.frame.stamp_ns for found in segment(segmenter, *others)] == [first.stamp_ns, second.stamp_ns]
    assert (segmenter.runtime, segmenter.reset_counts) == (runtime, {})


def test_min_confidence_unlabels_what_is_less_certain(runtime: Runtime) -> None:
    (plain,) = segment(StreamSegmenter(runtime), frame(0))
    threshold = float(np.median(plain.confidence)) / 255
    (cut,) = segment(StreamSegmenter(runtime, min_confidence=threshold), frame(0))
    doubtful = plain.confidence < threshold * 255
    assert 0.1 < doubtful.mean() < 0.9
    np.testing.assert_array_equal(cut.labels, np.where(doubtful, 255, plain.labels))
    np.testing.assert_array_equal(cut.confidence, plain.confidence)
    np.testing.assert_array_equal(cut.model_labels, plain.model_labels)
    assert 255 not in plain.labels


def test_stages_are_all_there_and_do_not_overlap(segmenter: StreamSegmenter) -> None:
    for one in stream(5):
        start = perf_counter()
        result = segmenter.step(one)
        wall_ms = (perf_counter() - start) * 1e3
        assert result is not None
        assert list(result.stage_ms) == ["preprocess", "encode", "decode", "postprocess"]
        assert min(result.stage_ms.values()) > 0
        assert sum(result.stage_ms.values()) <= wall_ms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_resolution": "half"}, "output_resolution 'half'"),
        ({"max_gap_s": 0.0}, "max_gap_s is 0"),
        ({"clip_span_s": -1.0}, "clip_span_s is -1"),
        ({"min_confidence": 1.5}, r"min_confidence is 1\.5"),
        ({"lag": 5}, "lag is 5"),
    ],
)
def test_options_out_of_range_are_refused(runtime: Runtime, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StreamSegmenter(runtime, **options)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_2000_frames_change_no_allocation(segmenter: StreamSegmenter, runtime: Runtime) -> None:
    def buffers() -> list[int]:
        held = runtime._memory  # type: ignore[attr-defined]
        if runtime.name == "torch":
            return [tensor.data_ptr() for tensor in held.values()]
        return [array.ctypes.data for array in held.arrays.memory().values()]

    frames = list(stream(100, 30))  # a bag that loops

    def play(count: int, lap: int) -> None:
        for i in range(count):
            one = frames[i % 100]
            segmenter.step(Frame(one.rgb, one.stamp_ns + (lap + i) // 100 * 4 * NS_PER_S, one.frame_id))

    play(500, 0)
    gc.collect()
    addresses, memory_bytes, resident = buffers(), segmenter.memory_bytes, resident_bytes()
    assert memory_bytes > 0
    tracemalloc.start()
    try:
        play(100, 500)
        traced = tracemalloc.get_traced_memory()[0]
        play(400, 600)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] - traced
    finally:
        tracemalloc.stop()
    play(1000, 1000)
    assert traced < 64 * 1024
    assert resident_bytes() - resident < 8 * 1024**2
    assert buffers() == addresses
    assert segmenter.memory_bytes == memory_bytes


def test_frames_that_a_reset_takes_while_they_wait_are_counted_and_a_switch_takes_none(
    runtime: Runtime, random_model: Path
) -> None:
    segmenter = StreamSegmenter(runtime, lag=2)
    masks, frames = 0, list(stream(12))
    for count, one in enumerate(frames, start=1):
        masks += segmenter.step(one) is not None
        assert count == masks + segmenter.waiting + segmenter.forgotten
        if count in (1, 6):
            segmenter.reset("asked for")
            assert segmenter.waiting == 0
        if count == 9:
            segmenter.switch(load_runtime(random_model, runtime="torch", input_size=SIZE, threads=1), "another level")
            assert segmenter.waiting == 2
    assert (segmenter.forgotten, segmenter.waiting, masks) == (3, 2, 7)
    with pytest.raises(RuntimeError, match="crashed"):
        segmenter.switch(crashing(runtime), "another level")
    assert (segmenter.forgotten, segmenter.waiting) == (5, 0)


def crashing(runtime: Runtime) -> Runtime:
    """One that has an engine's facts, and fails."""

    class Crashing:
        input_size, slots = runtime.input_size, runtime.slots

        def encode(self, rgb: np.ndarray, slot: int) -> None:
            raise RuntimeError("crashed")

    return Crashing()  # type: ignore[return-value]
