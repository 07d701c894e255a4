"""The baselines on a real engine: single frames, averages checked by hand, and resets as the stream segmenter's."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from t2g_ros.flow import METHODS, Flow
from t2g_ros.inference.baselines import (
    EmaSegmenter,
    FlowEmaSegmenter,
    SingleFrameSegmenter,
    average_along,
    resolve,
    softmax,
)
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.inference.stability import StabilityMonitor
from t2g_ros.model import time2general
from t2g_ros.model.checkpoint import load_model
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.types import NS_PER_S, Frame, Segmentation

SIZE = 64, 128
WORLD = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 64, 3), dtype=np.uint8), (1024, 128))
BASELINES = [SingleFrameSegmenter, EmaSegmenter, FlowEmaSegmenter]


@pytest.fixture(scope="module", params=["torch", "openvino"])
def runtime(request: pytest.FixtureRequest, random_model: Path) -> Runtime:
    pytest.importorskip(request.param)
    return load_runtime(random_model, runtime=request.param, precision="f32", input_size=SIZE, threads=1)


def frame(index: int, size: tuple[int, int] = SIZE) -> Frame:
    """What the camera sees at 10 Hz as it moves past the world."""
    rgb = cv2.resize(WORLD[:, 17 * index % 800 :][:, :128], size[::-1])
    return Frame(rgb, 1_700_000_000 * NS_PER_S + index * NS_PER_S // 10)


def segment(segmenter: StreamSegmenter, *frames: Frame) -> list[Segmentation]:
    results = [segmenter.step(one) for one in frames]
    return [result for result in results if result is not None]


def alone(runtime: Runtime, one: Frame) -> Segmentation:
    """The first frame of a stream, which has nothing before it."""
    (result,) = segment(StreamSegmenter(runtime), one)
    return result


def assert_same_masks(found: Segmentation, expected: Segmentation) -> None:
    np.testing.assert_array_equal(found.model_labels, expected.model_labels)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def probabilities(random_model: Path, one: Frame) -> torch.Tensor:
    """(K, h / 4, w / 4) from the network itself, without runtime or segmenter."""
    clip = torch.from_numpy(one.rgb).permute(2, 0, 1)[None, None].float()
    network = load_model(random_model).eval()
    with torch.inference_mode():
        return network(clip, torch.zeros(1, 1)).scores[0].softmax(dim=0)


def test_single_frames_do_not_depend_on_what_was_before(runtime: Runtime) -> None:
    frames = [frame(i) for i in range(8)]
    results = segment(SingleFrameSegmenter(runtime), *frames)
    for one, result in zip(frames, results, strict=True):
        assert_same_masks(result, alone(runtime, one))
        assert (result.clip_frames, result.clip_span_s) == (1, 0.0)
    with_memory = segment(StreamSegmenter(runtime), *frames)[-1]
    assert (with_memory.model_labels != results[-1].model_labels).mean() > 0.01


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_baseline_is_one_unbroken_stream(runtime: Runtime, baseline: type[StreamSegmenter]) -> None:
    segmenter, monitor = baseline(runtime), StabilityMonitor()
    results = segment(segmenter, *(frame(i) for i in range(8)))
    assert [result.reset_cause for result in results] == [None] * 8
    assert not segmenter.reset_counts
    flicker = [monitor.update(result).flicker for result in results]
    expected = [float((a.model_labels != b.model_labels).mean()) for a, b in pairwise(results)]
    assert flicker == [None, *(pytest.approx(share) for share in expected)]


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.9])
def test_probabilities_are_averaged_over_time(runtime: Runtime, random_model: Path, weight: float) -> None:
    frames = [frame(i) for i in (0, 9, 20)]
    first, second, third = (probabilities(random_model, one) for one in frames)
    results = segment(EmaSegmenter(runtime, weight, output_resolution="model"), *frames)
    one, two = first, weight * first + (1 - weight) * second
    three = weight**2 * first + weight * (1 - weight) * second + (1 - weight) * third
    for result, expected in zip(results, (one, two, three), strict=True):
        # The network's scores are the logarithms of these, up to what softmax takes away.
        labels, confidence = (t[0].numpy() for t in time2general.resolve(expected.log()[None]))
        assert (result.model_labels == labels).mean() > 0.999
        raised = cv2.resize(confidence, SIZE[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.abs(result.confidence.astype(int) - raised).max() <= 1
    assert (results[2].model_labels != alone(runtime, frames[2]).model_labels).mean() > 0.01


def test_an_average_that_forgets_at_once_is_the_single_frame(runtime: Runtime) -> None:
    frames = [frame(i) for i in range(4)]
    for found, expected in zip(
        segment(EmaSegmenter(runtime, weight=0.0), *frames),
        segment(SingleFrameSegmenter(runtime), *frames),
        strict=True,
    ):
        assert (found.model_labels == expected.model_labels).mean() > 0.999
        assert np.abs(found.confidence.astype(int) - expected.confidence).max() <= 1


@pytest.mark.parametrize("lag", [0, 1])
def test_an_average_along_flow_is_that_of_the_two_frames_own_flow(runtime: Runtime, lag: int) -> None:
    frames = [slow_frame(i) for i in range(4)]
    found = segment(FlowEmaSegmenter(runtime, 0.8, METHODS["farneback"], lag=lag), *frames)
    assert [result.frame for result in found] == frames[: 4 - lag]
    average: np.ndarray | None = None
    last: Frame | None = None
    for result in found:
        now = single_frame_probabilities(runtime, result.frame)
        if average is None or last is None:
            average = now
        else:
            flow, _ = METHODS["farneback"].both(last.rgb, result.frame.rgb)
            average = by_brute_force(flow, average, now, 0.8)
        last = result.frame
        labels, _ = resolve(average)
        assert (result.model_labels == labels).mean() > 0.999
    in_place = segment(EmaSegmenter(runtime, 0.8), *frames[: 4 - lag])[-1]
    assert (found[-1].model_labels != in_place.model_labels).mean() > 0.01


def slow_frame(index: int) -> Frame:
    """As `frame`, but so that flow can follow."""
    return Frame(WORLD[: SIZE[0], 3 * index :][:, : SIZE[1]], frame(index).stamp_ns)


def single_frame_probabilities(runtime: Runtime, one: Frame) -> np.ndarray:
    runtime.encode(one.rgb, 0)
    valid = np.zeros(runtime.slots, np.float32)
    valid[0] = 1
    return softmax(runtime.decode_scores(0, np.zeros(runtime.slots, np.float32), valid))


def by_brute_force(flow: Flow, before: np.ndarray, now: np.ndarray, weight: float) -> np.ndarray:
    """`average_along` pixel by pixel, between the four pixels around a place."""
    height, width = now.shape[1:]
    where, followed = flow.at((height, width))
    result = now.copy()
    for y, x in np.argwhere(followed):
        place_x, place_y = np.clip(where[y, x], 0, (width - 1, height - 1))
        left, top = int(place_x), int(place_y)
        right, bottom, a, b = min(left + 1, width - 1), min(top + 1, height - 1), place_x - left, place_y - top
        upper = (1 - a) * before[:, top, left] + a * before[:, top, right]
        lower = (1 - a) * before[:, bottom, left] + a * before[:, bottom, right]
        result[:, y, x] = weight * ((1 - b) * upper + b * lower) + (1 - weight) * now[:, y, x]
    return result


def test_two_classes_are_averaged_along_a_flow_by_hand() -> None:
    backward = np.zeros((1, 4, 2), np.float32)
    backward[..., 0] = -1, -1, -1, -0.5  # all went right by one pixel, the last by half of one
    flow = Flow(backward, np.array([[False, True, True, True]]))  # the first was outside before
    before, now = np.float32([0.9, 0.2, 0.6, 0.4]), np.float32([0.5, 0.5, 0.1, 0.3])
    both = [np.stack([p, 1 - p])[:, None] for p in (before, now)]
    average = average_along(flow, *both, 0.8)
    first = [0.5, 0.8 * 0.9 + 0.2 * 0.5, 0.8 * 0.2 + 0.2 * 0.1, 0.8 * 0.5 + 0.2 * 0.3]
    np.testing.assert_allclose(average, [[first], [1 - np.float32(first)]], atol=1e-6)
    np.testing.assert_array_equal(both[1][0, 0], now)  # what came in is as it was


@pytest.mark.parametrize("method", METHODS)
def test_an_average_follows_what_moves_and_starts_afresh_where_it_comes_to_light(method: str) -> None:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random((96, 256), np.float32), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    stripes = (np.arange(256) // 12 % 2).astype(np.float32)

    def seen(step: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (96, 128, 3), and probabilities (2, 24, 32) of stripes painted onto the world, 4 px on per step."""
        cut = slice(100 - 4 * step, 228 - 4 * step)
        of_stripes = np.tile(stripes[cut][1::4], (24, 1))
        return np.repeat(texture[:, cut, None], 3, axis=2), 0.1 + 0.8 * np.stack([of_stripes, 1 - of_stripes])

    image, average = seen(0)
    in_place = average
    for step in range(1, 4):
        next_image, now = seen(step)
        if step == 3:
            now = np.full_like(now, 0.5)  # the last frame says nothing: what the average holds is seen
        flow, _ = METHODS[method].both(image, next_image)
        average = average_along(flow, average, now.astype(np.float32), 0.8)
        in_place = 0.8 * in_place + 0.2 * now
        image = next_image
    truth = seen(3)[1].argmax(axis=0)
    middle = np.s_[4:-4, 8:-4]
    assert (average.argmax(axis=0) == truth)[middle].mean() > 0.95
    assert (in_place.argmax(axis=0) == truth)[middle].mean() < 0.5
    # What has just come in at the left border has no past.
    np.testing.assert_array_equal(average[:, 4:-4, 0], 0.5)


def test_more_weight_on_the_past_flickers_less(runtime: Runtime) -> None:
    def flicker(segmenter: StreamSegmenter) -> float:
        masks = [result.model_labels for result in segment(segmenter, *(frame(i) for i in range(10)))]
        return float(np.mean([a != b for a, b in pairwise(masks)]))

    shares = [flicker(EmaSegmenter(runtime, weight)) for weight in (0.0, 0.5, 0.95)]
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    ("following", "cause"), [(frame(0), "stamp_backward"), (frame(40), "gap"), (frame(6, (65, 128)), "size_change")]
)
def test_what_breaks_the_stream_starts_it_afresh(
    runtime: Runtime, baseline: type[StreamSegmenter], following: Frame, cause: str
) -> None:
    segmenter = baseline(runtime, max_gap_s=2.0)
    segment(segmenter, *(frame(i) for i in range(5)))
    (after,) = segment(segmenter, following)
    assert after.reset_cause == cause
    assert segmenter.reset_counts == {cause: 1}
    assert_same_masks(after, segment(baseline(runtime), following)[0])


def test_an_engine_that_fails_starts_the_average_afresh(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = EmaSegmenter(runtime, 0.9)
    segment(segmenter, frame(0))

    def fail(rgb: np.ndarray, slot: int) -> None:
        raise MemoryError("no memory left")

    with monkeypatch.context() as patched:
        patched.setattr(runtime, "encode", fail)
        with pytest.raises(MemoryError):
            segmenter.step(frame(1))
    (after,) = segment(segmenter, frame(9))
    assert after.reset_cause == "inference_error"
    assert_same_masks(after, segment(EmaSegmenter(runtime, 0.9), frame(9))[0])


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_lag_delays_a_baseline_as_it_does_the_stream(runtime: Runtime, baseline: type[StreamSegmenter]) -> None:
    frames = [frame(i) for i in range(6)]
    late, prompt = segment(baseline(runtime, lag=2), *frames), segment(baseline(runtime), *frames)
    assert [result.frame for result in late] == frames[:4]
    for found, expected in zip(late, prompt, strict=False):
        assert_same_masks(found, expected)


def test_a_result_is_not_changed_by_later_frames(runtime: Runtime) -> None:
    segmenter = EmaSegmenter(runtime)
    (early,) = segment(segmenter, frame(0))
    kept = early.model_labels.copy(), early.confidence.copy()
    segment(segmenter, *(frame(i) for i in range(1, 5)))
    np.testing.assert_array_equal(early.model_labels, kept[0])
    np.testing.assert_array_equal(early.confidence, kept[1])


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_a_weight_out_of_range_is_refused(runtime: Runtime, weight: float) -> None:
    with pytest.raises(ValueError, match=f"weight is {weight}, expected 0 to less than 1"):
        EmaSegmenter(runtime, weight)


def test_two_classes_by_hand() -> None:
    probability = softmax(np.float32([[[0, np.log(3)]], [[0, 0]]]))  # (2, 1, 2)
    np.testing.assert_allclose(probability, [[[0.5, 0.75]], [[0.5, 0.25]]], atol=1e-6)
    labels, confidence = resolve(np.float32([[[0.2, 0.9]], [[0.8, 0.1]]]))
    # Log-odds of the first class are -1.39 and 2.20; raised to twice the size -1.39, -0.49, 1.30, 2.20.
    np.testing.assert_array_equal(labels, [[1, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(confidence, [[204, 230]])


@pytest.mark.parametrize("spread", [0.1, 1, 10])
def test_resolve_is_the_networks(spread: float) -> None:
    scores = np.random.default_rng(0).normal(0, spread, (19, 16, 24)).astype(np.float32)
    expected = [t[0].numpy() for t in time2general.resolve(torch.from_numpy(scores)[None])]
    labels, confidence = resolve(softmax(scores))
    assert (labels == expected[0]).mean() > 0.999
    assert np.abs(confidence.astype(int) - expected[1]).max() <= 1


def test_certainty_beyond_what_a_float_holds_is_certain() -> None:
    labels, confidence = resolve(softmax(np.float32([[[0]], [[1e4]]])))
    assert (labels == 1).all()
    assert (confidence == 255).all()
