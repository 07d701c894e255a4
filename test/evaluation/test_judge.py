"""The judge on a stream small enough to count by hand, and against direct counting on random ones."""

import math

import numpy as np
import pytest

from t2g_ros.evaluation.replay.judge import Flows, Judge, TruthFlicker
from t2g_ros.flow import Flow
from t2g_ros.labels import CAMVID11, CITYSCAPES19, IGNORE, remap_table
from t2g_ros.types import Frame, Segmentation

SAME = np.arange(256, dtype=np.uint8)
NO_TRUTH = (math.nan, math.nan)


def still(shape: tuple[int, int]) -> Flows:
    """Nothing moved, everything was followed."""
    flow = Flow(np.zeros((*shape, 2), np.float32), np.ones(shape, bool))
    return Flows(flow, flow)


def segmentation(labels: np.ndarray, index: int, reset_cause: str | None = None) -> Segmentation:
    frame = Frame(np.zeros((*labels.shape, 3), np.uint8), index)
    confidence = np.full(labels.shape, 255, np.uint8)
    return Segmentation(frame, labels, confidence, labels, 1, 0.0, reset_cause, {"encode": float(index), "decode": 1.0})


def test_a_stream_of_three_frames_counted_by_hand() -> None:
    truth = np.array([[0, 0, 1, IGNORE]], np.uint8)
    masks = [np.array([row], np.uint8) for row in ([0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0])]
    judge = Judge(2, SAME)
    judge.start_stream()
    figures = []
    for i, mask in enumerate(masks):
        flows = still(truth.shape) if i else None
        figures.append(judge.update(segmentation(mask, i), truth, flows, (0.0, 0.0), judges=i != 2))
    counts = judge.counts()
    assert math.isnan(figures[0].flicker)
    assert [f.flicker for f in figures[1:]] == [0.5, 0.25]
    assert [f.pixel_accuracy for f in figures] == pytest.approx([1, 2 / 3, 1])
    # The third frame does not count towards accuracy: 2 + 1 right of class 0, one taken for 1, both of class 1 right.
    assert counts.confusion.tolist() == [[3, 1, 0], [0, 2, 0]]
    assert counts.means["flicker"].value == pytest.approx(0.375)
    assert counts.means["flicker_compensated"].value == pytest.approx(0.375)
    # Of the three pixels at rest one changed each time.
    assert counts.means["flicker_stable"].value == pytest.approx(1 / 3)
    assert counts.means["truth_flicker"].count == 2
    assert math.isnan(counts.means["mvc8"].value)
    assert (counts.masks, counts.reference_frames) == (3, 2)
    assert counts.stage_ms == {"encode": [0, 1, 2], "decode": [1, 1, 1]}
    assert counts.calibration.sum() == 6
    assert counts.calibration[1, 255] == 5


def test_windows_of_eight_are_counted_within_a_stream_only() -> None:
    truth = np.zeros((2, 2), np.uint8)
    judge = Judge(2, SAME)
    for _ in range(2):
        judge.start_stream()
        for i in range(8):
            mask = truth.copy()
            mask[0, 0] = i == 3
            judge.update(segmentation(mask, i), truth, still(truth.shape) if i else None, NO_TRUTH, judges=True)
    counts = judge.counts()
    assert counts.means["mvc8"].count == 1  # one recording
    assert counts.means["mvc8"].value == 0.75
    assert math.isnan(counts.means["mvc16"].value)


@pytest.mark.parametrize("how", ["a reset", "no flow", "another stream"])
def test_nothing_is_compared_across_a_break(how: str) -> None:
    judge = Judge(2, SAME)
    judge.start_stream()
    a, b = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    judge.update(segmentation(a, 0), a, None, NO_TRUTH, judges=True)
    if how == "another stream":
        judge.start_stream()
    cause = "gap" if how == "a reset" else None
    flows = None if how == "no flow" else still(a.shape)
    figures = judge.update(segmentation(b, 1, cause), a, flows, (0.5, 0.5), judges=True)
    counts = judge.counts()
    assert math.isnan(figures.flicker)
    for name in ("flicker", "flicker_compensated", "flicker_stable", "truth_flicker"):
        assert counts.means[name].count == 0
    assert counts.tc.sum() == 0


def test_masks_are_judged_in_the_space_of_the_truth() -> None:
    table = remap_table(CITYSCAPES19, CAMVID11)
    judge = Judge(len(CAMVID11), table)
    mask = np.array([[CITYSCAPES19.id_of("wall"), CITYSCAPES19.id_of("fence"), CITYSCAPES19.id_of("truck")]], np.uint8)
    truth = np.full((1, 3), CAMVID11.id_of("fence"), np.uint8)
    judge.update(segmentation(mask, 0), truth, None, NO_TRUTH, judges=True)
    fence = CAMVID11.id_of("fence")
    confusion = judge.counts().confusion
    assert confusion[fence, fence] == 2  # wall and fence are one class there
    assert confusion[fence, -1] == 1  # a truck is none of that space


def test_a_recording_without_truth_still_has_flicker_and_consistency() -> None:
    judge = Judge(3, SAME)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (5, 6, 7), np.uint8)
    for i, mask in enumerate(masks):
        judge.update(segmentation(mask, i), None, still(mask.shape) if i else None, NO_TRUTH, judges=True)
    counts = judge.counts()
    expected = np.mean([(masks[i] != masks[i - 1]).mean() for i in range(1, 5)])
    assert counts.means["flicker"].value == pytest.approx(expected)
    assert counts.tc.sum() == 4 * 6 * 7
    assert counts.confusion.sum() == 0
    assert counts.reference_frames == 0


def test_the_truth_s_own_flicker() -> None:
    flicker = TruthFlicker()
    a, b = np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 1, 2, 0]], np.uint8)
    assert math.isnan(flicker.update(a, None)[0])
    assert flicker.update(b, still(a.shape)) == (0.25, 0.25)
    assert math.isnan(flicker.update(None, still(a.shape))[0])
    assert math.isnan(flicker.update(a, still(a.shape))[0])
    assert math.isnan(flicker.update(b, None)[0])
