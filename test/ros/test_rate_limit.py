"""A rate limit by stamps: what it lets through on time, early, slow, fast and jumping cameras."""

from __future__ import annotations

import numpy as np
import pytest

from t2g_ros.ros.rate_limit import RateLimit
from t2g_ros.types import NS_PER_S

START_NS = 1_700_000_000 * NS_PER_S


def admitted(times_s: np.ndarray, max_rate_hz: float) -> int:
    limit = RateLimit()
    return sum(limit.admits(START_NS + round(time_s * NS_PER_S), max_rate_hz) for time_s in times_s)


@pytest.mark.parametrize(("camera_hz", "max_rate_hz", "expected"), [(30, 20, 200), (30, 7, 70), (60, 59, 590)])
def test_a_faster_camera_is_thinned_out_to_the_rate_and_not_to_a_divisor_of_its_own(
    camera_hz: int, max_rate_hz: float, expected: int
) -> None:
    assert admitted(np.arange(10 * camera_hz) / camera_hz, max_rate_hz) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("camera_hz", [1, 9, 10])
def test_a_camera_within_the_rate_loses_nothing_however_it_jitters(camera_hz: int) -> None:
    jitter = np.random.default_rng(0).uniform(-0.4, 0.4, 200)
    times_s = (np.arange(200) + jitter) / camera_hz
    assert admitted(times_s, 10) == 200


def test_no_limit_admits_all() -> None:
    assert admitted(np.arange(100) / 1000, 0.0) == 100


def test_stamps_that_go_back_begin_anew() -> None:
    limit = RateLimit()
    assert limit.admits(START_NS, 1.0)
    assert limit.admits(START_NS + 1, 1.0)
    assert not limit.admits(START_NS + 2, 1.0)
    assert limit.admits(START_NS - 10 * NS_PER_S, 1.0)


def test_a_limit_that_is_set_while_images_come_holds_from_the_next_one_on() -> None:
    limit = RateLimit()
    for i in range(100):
        assert limit.admits(START_NS + i * 10_000_000, 0.0)
    later = [limit.admits(START_NS + i * 10_000_000, 10.0) for i in range(100, 200)]
    assert 10 <= sum(later) <= 12
