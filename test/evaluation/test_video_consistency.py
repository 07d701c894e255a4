"""Both variants of mVC: by hand, against a brute-force twin, and on the labels of a real drive."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2g_ros.evaluation.metrics.consistency import VideoConsistency

from .label_streams import SHAPE, Step, drive_labels, frame, mean, needs_camvid, runs_of, streams


def feed(metric: VideoConsistency, steps: list[Step]) -> VideoConsistency:
    for step in steps:
        if step.before == "video":
            metric.new_video()
        elif step.before == "gap":
            metric.cut()
        metric.update(step.pred, step.truth)
    return metric


def window_share(window: list[Step], *, correct: bool) -> float:
    good = at_rest = 0
    for place in np.ndindex(SHAPE):
        truth = {int(step.truth[place]) for step in window}
        pred = {int(step.pred[place]) for step in window}
        if len(truth) == 1 and 255 not in truth:
            at_rest += 1
            good += pred == truth if correct else len(pred) == 1 and 255 not in pred
    return good / at_rest if at_rest else math.nan


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


@pytest.mark.parametrize("n", [8, 255])
def test_a_pixel_may_be_at_rest_for_longer_than_any_window(n: int) -> None:
    still = frame(0, 0, 0, 0, 0)
    metric = feed(VideoConsistency((n,)), [Step(still, still)] * 600)
    assert (metric.mvc(n), metric.mvc_vspw(n)) == (1, 1)
    assert (metric.video[n].count, metric.vspw[n].count) == (600 - n + 1, 600 - n)


def test_windows_that_cannot_be_are_refused() -> None:
    for windows in ((), (8, 0), (256,)):
        with pytest.raises(ValueError, match="1 to 255"):
            VideoConsistency(windows)


@needs_camvid
def test_ground_truth_of_a_real_drive_is_consistent_with_itself() -> None:
    labels = drive_labels()
    itself = feed(VideoConsistency(), [Step(truth, truth) for truth in labels])
    late = feed(VideoConsistency(), [Step(last, truth) for last, truth in itertools.pairwise(labels)])
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
