"""mVC, TC and flicker at rest: by hand, against brute-force twins, and on a drive whose figures are known."""

import itertools
import math
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t2g_ros.evaluation.flow import Flow, farneback_both
from t2g_ros.evaluation.video_consistency import VideoConsistency
from t2g_ros.evaluation.video_metrics import StableFlicker, TemporalConsistency

CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "val"
needs_camvid = pytest.mark.skipif(not CAMVID.is_dir(), reason=f"the CamVid validation drive is not at {CAMVID}")
SHAPE = (1, 5)


class Step(NamedTuple):
    """A frame of a stream, and what comes just before it."""

    pred: np.ndarray
    truth: np.ndarray | None
    before: str = ""


def frame(*ids: int) -> np.ndarray:
    return np.array([ids], np.uint8)


def feed(metric: VideoConsistency, steps: list[Step]) -> VideoConsistency:
    for step in steps:
        if step.before == "video":
            metric.new_video()
        elif step.before == "gap":
            metric.cut()
        metric.update(step.pred, step.truth)
    return metric


# Few classes that mostly stay, so that windows have pixels at rest.
ids = st.sampled_from([0, 0, 0, 0, 1, 255])
maps = arrays(np.uint8, SHAPE, elements=ids, fill=st.just(0))
steps = st.builds(
    Step,
    maps,
    st.one_of(maps, maps, maps, maps, maps, st.none()),
    st.sampled_from(["", "", "", "", "", "", "gap", "video"]),
)
streams = st.lists(steps, max_size=25)


def runs_of(stream: list[Step]) -> list[list[list[Step]]]:
    """Videos, each a list of runs of labelled frames without a break."""
    videos: list[list[list[Step]]] = [[[]]]
    for step in stream:
        if step.before == "video":
            videos.append([[]])
        elif step.before == "gap":
            videos[-1].append([])
        if step.truth is None:
            videos[-1].append([])
        else:
            videos[-1][-1].append(step)
    return videos


def window_share(window: list[Step], *, correct: bool) -> float:
    good = at_rest = 0
    for place in np.ndindex(SHAPE):
        truth = {int(step.truth[place]) for step in window}
        pred = {int(step.pred[place]) for step in window}
        if len(truth) == 1 and 255 not in truth:
            at_rest += 1
            good += pred == truth if correct else len(pred) == 1 and 255 not in pred
    return good / at_rest if at_rest else math.nan


def mean(values: list[float]) -> float:
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


@given(streams, st.sampled_from([1, 2, 3, 5]))
def test_mvc_equals_comparing_each_window_pixel_by_pixel(stream: list[Step], n: int) -> None:
    metric = feed(VideoConsistency((n, 4)), stream)
    videos = [
        mean([window_share(run[i : i + n], correct=True) for run in runs for i in range(len(run) - n + 1)])
        for runs in runs_of(stream)
    ]
    pooled = [
        window_share(run[i : i + n], correct=False)
        for runs in runs_of(stream)
        for run in runs
        for i in range(len(run) - n)
    ]
    np.testing.assert_allclose(metric.mvc(n), mean(videos), rtol=1e-12)
    np.testing.assert_allclose(metric.mvc_vspw(n), mean(pooled), rtol=1e-12)


def test_mvc8_and_mvc16_equal_comparing_each_window_of_random_videos() -> None:
    rng = np.random.default_rng(3)
    stream = []
    for length in (40, 16, 17, 7):
        pred, truth = rng.integers(0, 3, (2, *SHAPE), np.uint8)
        for i in range(length):
            truth = np.where(rng.random(SHAPE) < 0.02, rng.choice([0, 1, 2, 255], SHAPE), truth).astype(np.uint8)
            pred = np.where(rng.random(SHAPE) < 0.05, truth, pred)
            stream.append(Step(pred, truth, "" if i else "video"))
    metric = feed(VideoConsistency(), stream)
    for n in (8, 16):
        runs = [run for video in runs_of(stream) for run in video]
        videos = [mean([window_share(r[i : i + n], correct=True) for i in range(len(r) - n + 1)]) for r in runs]
        pooled = [window_share(r[i : i + n], correct=False) for r in runs for i in range(len(r) - n)]
        assert metric.mvc(n) == pytest.approx(mean(videos))
        assert metric.mvc_vspw(n) == pytest.approx(mean(pooled))
        assert 0 < metric.mvc(n) < metric.mvc_vspw(n) < 1


def test_mvc_by_hand() -> None:
    metric = feed(
        VideoConsistency((2,)),
        [
            # Pixels: right; constant but wrong; flickers; truth changes; void at first.
            Step(frame(0, 1, 2, 3, 4), frame(0, 0, 2, 3, 255)),
            Step(frame(0, 1, 1, 3, 4), frame(0, 0, 2, 4, 4)),
            Step(frame(0, 1, 1, 4, 4), frame(0, 0, 2, 4, 4)),
            # Another video: at rest throughout, right in the first of two windows.
            Step(frame(5, 5, 5, 5, 5), frame(5, 5, 5, 5, 5), "video"),
            Step(frame(5, 5, 5, 5, 5), frame(5, 5, 5, 5, 5)),
            Step(frame(6, 6, 6, 6, 6), frame(5, 5, 5, 5, 5)),
        ],
    )
    # Windows: 1 of 3 (the pixels at rest are the first three) and 2 of 5 right; then all and none.
    assert metric.mvc(2) == pytest.approx(((1 / 3 + 2 / 5) / 2 + (1 + 0) / 2) / 2)
    # Constant: 2 of 3, and all; the last window of either video is left out.
    assert metric.mvc_vspw(2) == pytest.approx((2 / 3 + 1) / 2)


def test_videos_weigh_the_same_in_mvc_and_by_their_windows_in_vspw() -> None:
    still = frame(0, 0, 0, 0, 0)
    bad = [Step(still + i % 2, still) for i in range(4)]
    good = [Step(still, still, "video" if i == 0 else "") for i in range(12)]
    metric = feed(VideoConsistency((2,)), bad + good)
    assert metric.mvc(2) == pytest.approx(1 / 2)
    assert metric.mvc_vspw(2) == pytest.approx(10 / 12)


@pytest.mark.parametrize("n", [8, 16])
def test_a_constant_mistake_is_consistent_for_vspw_only(n: int) -> None:
    still = frame(0, 0, 0, 0, 0)
    metric = feed(VideoConsistency(), [Step(still + 1, still)] * (n + 1))
    assert metric.mvc(n) == 0
    assert metric.mvc_vspw(n) == 1


@pytest.mark.parametrize("unlabelled", [1, 2])
def test_frames_without_labels_break_the_windows(unlabelled: int) -> None:
    still = frame(0, 0, 0, 0, 0)
    labelled = [Step(still, still)] * 7
    metric = feed(VideoConsistency(), labelled + [Step(still, None)] * unlabelled + labelled)
    assert math.isnan(metric.mvc(8))
    assert math.isnan(metric.mvc_vspw(8))
    metric.update(still, still)
    assert metric.mvc(8) == 1


def test_state_does_not_grow_with_the_video() -> None:
    rng = np.random.default_rng(0)
    shape = (100, 100)
    metric, at_rest, tc = VideoConsistency(), StableFlicker(), TemporalConsistency(3)
    flow = Flow(np.zeros((*shape, 2), np.float32), np.ones(shape, bool))

    def run(frames: int) -> int:
        for _ in range(frames):
            pred, truth = rng.integers(0, 3, (2, *shape), np.uint8)
            metric.update(pred, truth)
            at_rest.update(pred, truth)
            tc.update(pred, flow)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        assert run(100) - run(20) < 10_000  # less than one map more
    finally:
        tracemalloc.stop()


def test_what_does_not_fit_is_refused() -> None:
    still = frame(0, 0, 0)
    for metric in (VideoConsistency(), StableFlicker()):
        with pytest.raises(ValueError, match=r"\(1, 3\).*\(3, 1\)"):
            metric.update(still, still.T)
        with pytest.raises(ValueError, match="int64"):
            metric.update(still.astype(np.int64), still)
        metric.update(still, still)
        with pytest.raises(ValueError, match=r"\(3, 1\) after \(1, 3\).*`cut`"):
            metric.update(still.T, still.T)
        metric.cut()
        metric.update(still.T, still.T)
    for windows in ((), (8, 0), (256,)):
        with pytest.raises(ValueError, match="1 to 255"):
            VideoConsistency(windows)


def test_the_callers_arrays_may_be_used_again() -> None:
    pred, truth = frame(0, 0), frame(0, 0)
    metric, at_rest, tc = VideoConsistency((2,)), StableFlicker(), TemporalConsistency(2)
    flow = Flow(np.zeros((1, 2, 2), np.float32), np.ones((1, 2), bool))
    for value in (0, 1, 0):
        pred[0, 0] = value
        metric.update(pred, truth)
        at_rest.update(pred, truth)
        tc.update(pred, flow)
    assert metric.mvc_vspw(2) == 0.5
    assert at_rest.flicker() == 0.5
    assert tc.tc() < 1


def from_right(followed: list[bool]) -> Flow:
    """Everything in the frame before is one pixel further right now."""
    flow = np.zeros((1, len(followed), 2), np.float32)
    flow[..., 0] = 1
    return Flow(flow, np.array([followed]))


def test_tc_by_hand() -> None:
    metric = TemporalConsistency(4)
    assert math.isnan(metric.tc())
    metric.update(frame(0, 0, 1, 1, 2, 3), None)
    assert math.isnan(metric.tc())
    # Brought back to t: 0 1 1, then not followed, unlabelled, not followed. Of 0 and of 1 one of two remains.
    metric.update(frame(3, 0, 1, 1, 2, 255), from_right([True, True, True, False, True, False]))
    assert metric.tc() == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_tc_of_labels_that_follow_the_flow_is_one_and_without_the_flow_less() -> None:
    cur = frame(0, 0, 1, 1, 2, 2)
    prev = frame(0, 1, 1, 2, 2, 2)
    followed = [True] * 5 + [False]
    moved, still = TemporalConsistency(3), TemporalConsistency(3)
    for metric, flow in (
        (moved, from_right(followed)),
        (still, Flow(np.zeros((1, 6, 2), np.float32), np.ones((1, 6), bool))),
    ):
        metric.update(prev, None)
        metric.update(cur, flow)
    assert moved.tc() == 1
    assert still.tc() < 0.7


def test_a_class_on_one_side_only_counts_as_lost() -> None:
    flow = Flow(np.zeros((1, 2, 2), np.float32), np.ones((1, 2), bool))
    for prev, cur in ((frame(0, 0), frame(0, 1)), (frame(0, 1), frame(0, 0))):
        metric = TemporalConsistency(3)
        metric.update(prev, None)
        metric.update(cur, flow)
        assert metric.tc() == pytest.approx((1 / 2 + 0) / 2)


@given(
    st.lists(
        st.tuples(
            arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, 255])),
            arrays(np.int8, (3, 4, 2), elements=st.integers(-2, 2)),
            arrays(np.bool_, (3, 4)),
            st.sampled_from(["", "", "", "cut", "no flow"]),
        ),
        max_size=5,
    )
)
def test_tc_equals_counting_pixel_by_pixel(stream: list[tuple[np.ndarray, np.ndarray, np.ndarray, str]]) -> None:
    metric = TemporalConsistency(3)
    pairs = []
    last = None
    for pred, step, mask, event in stream:
        y, x = np.mgrid[:3, :4]
        to = np.stack([x, y], -1) + step
        followed = mask & ((to >= 0) & (to < (4, 3))).all(-1)
        if event == "cut":
            metric.cut()
        metric.update(pred, None if event == "no flow" else Flow(step.astype(np.float32), followed))
        if last is not None and not event:
            for place in zip(*np.nonzero(followed), strict=True):
                pair = int(last[place]), int(pred[tuple(to[place][::-1])])
                if 255 not in pair:
                    pairs.append(pair)
        last = pred
    ious = []
    for c in range(3):
        union = sum(c in pair for pair in pairs)
        if union:
            ious.append(pairs.count((c, c)) / union)
    np.testing.assert_allclose(metric.tc(), mean(ious))


def test_flicker_at_rest_by_hand() -> None:
    metric = StableFlicker()
    assert math.isnan(metric.update(frame(0, 1, 2, 3, 4, 255), frame(0, 0, 0, 1, 255, 0)))
    # Kept; changed; changed; truth moved; truth void; unlabelled before.
    share = metric.update(frame(0, 0, 9, 9, 9, 9), frame(0, 0, 0, 0, 255, 0))
    assert share == pytest.approx(2 / 3)
    assert metric.update(frame(0, 0, 9, 9, 9, 9), frame(0, 0, 0, 0, 255, 0)) == 0
    assert metric.flicker() == pytest.approx(1 / 3)
    metric.cut()
    assert math.isnan(metric.update(frame(7), frame(0)))
    assert math.isnan(metric.update(frame(8), None))
    assert math.isnan(metric.update(frame(8), frame(0)))
    assert metric.flicker() == pytest.approx(1 / 3)


@given(streams)
def test_flicker_at_rest_equals_counting_pixel_by_pixel(stream: list[Step]) -> None:
    metric = StableFlicker()
    for step in stream:
        if step.before:
            metric.cut()
        metric.update(step.pred, step.truth)
    shares = []
    for run in (run for runs in runs_of(stream) for run in runs):
        for a, b in itertools.pairwise(run):
            both = [
                (a.pred[p], b.pred[p])
                for p in np.ndindex(SHAPE)
                if a.truth[p] == b.truth[p] != 255 and 255 not in (a.pred[p], b.pred[p])
            ]
            if both:
                shares.append(sum(p != q for p, q in both) / len(both))
    np.testing.assert_allclose(metric.flicker(), mean(shares))


def drive_labels() -> list[np.ndarray]:
    return [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((CAMVID / "labels").iterdir())]


@needs_camvid
def test_ground_truth_of_a_real_drive_is_consistent_with_itself() -> None:
    labels = drive_labels()
    itself = feed(VideoConsistency(), [Step(truth, truth) for truth in labels])
    late = feed(VideoConsistency(), [Step(last, truth) for last, truth in itertools.pairwise(labels)])
    at_rest = StableFlicker()
    for truth in labels:
        at_rest.update(truth, truth)
    for n in (8, 16):
        assert itself.mvc(n) == 1
        assert itself.mvc_vspw(n) == 1
        assert (itself.video[n].count, itself.vspw[n].count) == (len(labels) - n + 1, len(labels) - n)
        # One frame late, the labels say the same except where something has just come to rest.
        stacks = np.stack(labels)
        shares = []
        for i in range(1, len(labels) - n + 1):
            resting = (stacks[i : i + n] == stacks[i]).all(0) & (stacks[i] != 255)
            shares.append((resting & (stacks[i - 1] == stacks[i])).sum() / resting.sum())
        assert late.mvc(n) == pytest.approx(np.mean(shares), abs=1e-12)
        assert 0.9 < late.mvc(n) < 1
    assert at_rest.flicker() == 0
    assert at_rest.pairs.count == len(labels) - 1


@needs_camvid
def test_flow_takes_motion_out_of_the_tc_of_the_ground_truth_of_a_real_drive() -> None:
    labels = drive_labels()[:21]
    paths = sorted((CAMVID / "images").iterdir())[: len(labels)]
    frames = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in paths]
    warped, unwarped, wrong_way = (TemporalConsistency(11) for _ in range(3))
    for metric in (warped, unwarped, wrong_way):
        metric.update(labels[0], None)
    for i in range(1, len(labels)):
        backward, forward = farneback_both(frames[i - 1], frames[i])
        warped.update(labels[i], forward)
        unwarped.update(labels[i], Flow(np.zeros_like(forward.backward), forward.followed))
        wrong_way.update(labels[i], backward)
    assert warped.tc() == pytest.approx(0.8606, abs=2e-3)
    assert wrong_way.tc() < unwarped.tc() < warped.tc() - 0.03
