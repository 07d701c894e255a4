"""The stability alarm: raised after a while above its limit, over when clearly below, each measure for itself."""

from __future__ import annotations

import numpy as np
import pytest

from t2g_ros.inference.stability import Stability
from t2g_ros.inference.stability_alarm import StabilityAlarm, StabilityLimits
from t2g_ros.types import NS_PER_S

LIMITS = StabilityLimits(max_mean_flicker=0.1, min_mean_consistency=0.9, after_s=1.0)
FRAME_S = 0.1


def stability(flicker: float | None, consistency: float | None = 1.0) -> Stability:
    return Stability(
        map=np.zeros((1, 1), np.uint8),
        flicker=flicker,
        consistency=consistency,
        interval_s=FRAME_S,
        rate_hz=1 / FRAME_S,
        mean_flicker=flicker,
        mean_consistency=consistency,
        mean_confidence=1.0,
    )


class Stream:
    """Frames at 10 Hz into one alarm."""

    def __init__(self) -> None:
        self.alarm = StabilityAlarm()
        self.stamp_ns = 1_700_000_000 * NS_PER_S

    def play(
        self, frames: int, flicker: float | None, consistency: float | None = 1.0, limits: StabilityLimits = LIMITS
    ) -> list[dict[str, str]]:
        told = []
        for _ in range(frames):
            told.append(self.alarm.update(stability(flicker, consistency), self.stamp_ns, limits))
            self.stamp_ns += round(FRAME_S * NS_PER_S)
        return told


def test_is_raised_after_a_second_above_the_limit_and_not_before() -> None:
    told = Stream().play(12, 0.2)
    assert [bool(alarms) for alarms in told] == [False] * 10 + [True] * 2
    assert told[-1] == {"mean_flicker": "mean flicker is 0.2, allowed is 0.1; the alarm ends at 0.08"}


def test_a_short_burst_raises_nothing() -> None:
    stream = Stream()
    for _ in range(3):
        assert not any(stream.play(9, 0.2))
        assert not any(stream.play(1, 0.09))


def test_ends_below_the_lower_threshold_only_and_begins_anew() -> None:
    stream = Stream()
    stream.play(12, 0.2)
    assert all(stream.play(20, 0.09))  # between the two thresholds
    assert not any(stream.play(20, 0.08))
    assert not any(stream.play(20, 0.09))
    assert [bool(alarms) for alarms in stream.play(12, 0.11)] == [False] * 10 + [True] * 2


def test_consistency_is_judged_for_itself() -> None:
    stream = Stream()
    assert stream.play(12, 0.0, 0.85)[-1] == {
        "mean_temporal_consistency": (
            "mean temporal consistency is 0.85, expected at least 0.9; the alarm ends at 0.92"
        )
    }
    assert set(stream.play(12, 0.2, 0.91)[-1]) == {"mean_flicker", "mean_temporal_consistency"}
    assert set(stream.play(1, 0.2, 0.93)[-1]) == {"mean_flicker"}


def test_what_cannot_be_measured_alarms_nobody() -> None:
    stream = Stream()
    assert not any(stream.play(20, None, None))
    assert stream.play(12, 0.2, 0.5)[-1]
    assert not stream.play(1, None, None)[-1]


def test_limits_that_change_count_from_the_next_frame() -> None:
    stream = Stream()
    assert stream.play(12, 0.2)[-1]
    assert not stream.play(1, 0.2, limits=StabilityLimits(max_mean_flicker=0.3))[-1]
    assert stream.play(1, 0.2, limits=StabilityLimits(max_mean_flicker=0.1, after_s=0.0))[-1]


@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_the_defaults_are_never_crossed(after_s: float) -> None:
    assert not any(Stream().play(20, 1.0, 0.0, StabilityLimits(after_s=after_s)))


def test_a_bag_that_loops_does_not_count_as_a_long_time() -> None:
    stream = Stream()
    for _ in range(5):
        start = stream.stamp_ns
        assert not any(stream.play(8, 0.2))
        stream.stamp_ns = start
