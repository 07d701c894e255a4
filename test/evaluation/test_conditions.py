"""Every condition judges every frame once, and its streams are what a camera of that kind would give."""

import numpy as np
import pytest

from t2g_ros.evaluation.replay.conditions import Condition, conditions

FRAMES = 400
ALL = conditions([1, 2, 3, 5, 10], [2, 3, 7], [0.1, 0.3, 0.5, 0.8], ["fog"], [1, 5])


def streams(condition: Condition) -> list[list[int]]:
    return [[i for i in range(FRAMES) if condition.keeps(i, s)] for s in range(condition.streams)]


@pytest.mark.parametrize("condition", ALL, ids=lambda condition: condition.name)
def test_every_frame_is_judged_exactly_once(condition: Condition) -> None:
    judged = [i for s in range(condition.streams) for i in range(FRAMES) if condition.judges(i, s)]
    assert sorted(judged) == list(range(FRAMES))
    for s, kept in enumerate(streams(condition)):
        assert {i for i in range(FRAMES) if condition.judges(i, s)} <= set(kept)


@pytest.mark.parametrize("stride", [1, 2, 3, 10])
def test_a_stride_takes_every_kth_frame(stride: int) -> None:
    for kept in streams(Condition("", stride=stride)):
        assert set(np.diff(kept)) == {stride}


@pytest.mark.parametrize("stride", [2, 3, 7])
def test_jitter_has_the_mean_of_its_stride_and_irregular_gaps(stride: int) -> None:
    gaps = np.concatenate([np.diff(kept) for kept in streams(Condition("", stride=stride, jitter=True))])
    assert gaps.min() == 1
    assert gaps.max() == 2 * stride - 1
    assert gaps.mean() == pytest.approx(stride, rel=0.02)
    assert len(set(gaps.tolist())) == 2 * stride - 1


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_dropped_frames_are_lost_at_random_and_at_the_rate_asked_for(share: float) -> None:
    for kept in streams(Condition("", drop=share)):
        assert 1 - len(kept) / FRAMES == pytest.approx(share, abs=0.07)
        assert len(set(np.diff(kept).tolist())) > 1


def test_chance_is_decided_by_the_seed_alone() -> None:
    for kind in ({"stride": 3, "jitter": True}, {"drop": 0.3}):
        assert streams(Condition("", **kind)) == streams(Condition("", **kind))
        assert streams(Condition("", **kind, seed=1)) != streams(Condition("", **kind))


def test_stride_1_comes_first_and_nothing_comes_twice() -> None:
    found = conditions([3, 1, 3], [2], [0.5], ["snow", "fog"], [1, 2])
    assert [c.name for c in found] == [
        "stride 1",
        "stride 3",
        "jitter 2",
        "drop 0.5",
        "snow 1",
        "snow 2",
        "fog 1",
        "fog 2",
    ]
