"""TC and flicker at rest: by hand, against brute-force twins, and on a real drive; and what any stream may do."""

import itertools
import math
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t2g_ros.evaluation.metrics.consistency import VideoConsistency
from t2g_ros.evaluation.metrics.flicker import StableFlicker
from t2g_ros.evaluation.metrics.temporal import TemporalConsistency
from t2g_ros.flow import Flow, farneback_both

from .label_streams import CAMVID, SHAPE, Step, drive_labels, frame, mean, needs_camvid, runs_of, streams


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


@needs_camvid
def test_ground_truth_of_a_real_drive_does_not_flicker_where_it_is_at_rest() -> None:
    metric = StableFlicker()
    labels = drive_labels()
    for truth in labels:
        metric.update(truth, truth)
    assert metric.flicker() == 0
    assert metric.pairs.count == len(labels) - 1


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
