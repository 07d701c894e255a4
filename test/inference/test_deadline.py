"""Levels, and when the level changes, on streams whose load is made by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from t2g_ros.inference.deadline import HOLD_S, LONGEST_HOLD_S, WINDOW, Deadline, Level, levels_of
from t2g_ros.types import NS_PER_S

RATE_HZ = 10
COSTS_MS = [100.0, 80.0, 70.0, 40.0, 20.0]
EPOCH_NS = 1_700_000_000 * NS_PER_S
Load = Callable[[float, int], float]


def run(deadline: Deadline, seconds: float, load: Load, start_s: float = 0.0, rest_ms: float = 0.0) -> list[float]:
    """Stream frames that take as long as load(time, level) times the level's cost; return when the level changed."""
    changes = []
    for frame in range(round(seconds * RATE_HZ)):
        now_s = start_s + frame / RATE_HZ
        scaling_ms = load(now_s, deadline.level) * COSTS_MS[deadline.level]
        if deadline.observe(EPOCH_NS + round(now_s * NS_PER_S), scaling_ms, rest_ms):
            changes.append(now_s)
    assert deadline.switches >= len(changes)
    return changes


def steady(load: float) -> Load:
    return lambda now_s, level: load


def lowered(target_ms: float, load: float) -> Deadline:
    """One that a load has driven down."""
    deadline = Deadline(target_ms, COSTS_MS)
    assert len(run(deadline, 1.0, steady(load))) == 1
    return deadline


@pytest.mark.parametrize(
    ("own", "lag", "expected"),
    [
        (
            Level(5, (512, 1024)),
            0,
            ["clip 5, 1024x512", "clip 3, 1024x512", "clip 2, 1024x512", "clip 2, 768x384", "clip 2, 512x256"],
        ),
        # Multiples of 64, rounded down.
        (Level(2, (448, 960)), 0, ["clip 2, 960x448", "clip 2, 704x320", "clip 2, 448x192"]),
        (Level(9, (64, 64)), 0, ["clip 9, 64x64", "clip 5, 64x64", "clip 3, 64x64", "clip 2, 64x64"]),
        (Level(2, (64, 128)), 0, ["clip 2, 128x64", "clip 2, 64x64"]),
        # The lag, the segmented frame and one of the past have to fit.
        (Level(5, (64, 64)), 2, ["clip 5, 64x64", "clip 4, 64x64"]),
        (Level(5, (64, 64)), 4, ["clip 5, 64x64"]),
        # A network without memory.
        (Level(1, (128, 128)), 0, ["clip 1, 128x128", "clip 1, 64x64"]),
    ],
)
def test_levels_shorten_the_clip_and_then_shrink_the_input(own: Level, lag: int, expected: list[str]) -> None:
    assert [str(level) for level in levels_of(own, lag)] == expected


def test_the_best_level_stays_while_the_target_is_met() -> None:
    deadline = Deadline(100, COSTS_MS)
    assert run(deadline, 60, steady(1)) == []
    assert (deadline.level, deadline.latency_ms, deadline.missed) == (0, 100, False)


def test_a_higher_load_is_answered_at_once_by_the_first_level_that_meets_the_target() -> None:
    deadline = Deadline(150, COSTS_MS)
    (changed_s,) = run(deadline, 60, lambda now_s, level: 1.0 if now_s < 10 else 2.0)
    # The third frame makes it the median of five.
    assert changed_s == pytest.approx(10.2)
    assert (deadline.level, deadline.latency_ms) == (2, 140)


def test_two_slow_frames_change_nothing() -> None:
    deadline = Deadline(150, COSTS_MS)
    assert run(deadline, 60, lambda now_s, level: 9.0 if round(now_s * RATE_HZ) % WINDOW < 2 else 1.0) == []


def test_a_target_that_no_level_meets_leads_to_the_last_and_is_missed() -> None:
    deadline = Deadline(0.1, COSTS_MS)
    assert len(run(deadline, 60, steady(1))) == 1
    assert (deadline.level, deadline.missed) == (4, True)


def test_the_way_back_is_one_level_after_the_other_each_after_the_hold() -> None:
    deadline = lowered(150, load=2.0)
    assert deadline.level == 2
    first, second = run(deadline, 60, steady(0.5), start_s=1)
    # A level's latency is the median of its own frames, so that they have to fill the window first.
    fill_s = (WINDOW - 1) / RATE_HZ
    assert first - 1 == pytest.approx(HOLD_S, abs=fill_s)
    assert second - first == pytest.approx(HOLD_S + fill_s + 1 / RATE_HZ)
    assert (deadline.level, deadline.switches) == (0, 3)


def test_a_level_that_would_only_just_meet_the_target_is_not_tried() -> None:
    deadline = lowered(150, load=2.0)
    # Level 1 would take 136 ms, more than 85 % of 150.
    assert run(deadline, 120, steady(1.7), start_s=1) == []
    assert len(run(deadline, 10, steady(1.5), start_s=121)) == 1


def test_the_hold_starts_anew_when_the_load_returns_or_the_time_goes_backwards() -> None:
    deadline = lowered(150, load=2.0)
    assert run(deadline, 60, lambda now_s, level: 1.8 if now_s % 4 < 1 else 1.0, start_s=1) == []
    deadline = lowered(150, load=2.0)
    assert run(deadline, 4, steady(1), start_s=50) == []
    assert run(deadline, 4, steady(1), start_s=1) == []
    assert len(run(deadline, 2, steady(1), start_s=5)) == 1


@pytest.mark.parametrize("target_ms", [80, 90, 100, 110, 120, 150])
@pytest.mark.parametrize("spread", [0.1, 0.3, 0.6])
def test_a_load_that_is_noisy_about_the_target_does_not_make_it_flap(target_ms: float, spread: float) -> None:
    noise = random.Random(0)
    changes = run(Deadline(target_ms, COSTS_MS), 600, lambda now_s, level: noise.uniform(1 - spread, 1 + spread))
    assert len(changes) <= 2 * 600 / LONGEST_HOLD_S + 10


def test_a_better_level_that_disappoints_every_time_is_tried_ever_less_often() -> None:
    def load(now_s: float, level: int) -> float:
        return 2.0 if level == 0 else 1.0  # frames wait for the slower engine only

    deadline = Deadline(170, COSTS_MS)  # so that one level down is enough
    changes = run(deadline, 600, load)
    downs = changes[::2]
    gaps_s = [later - earlier for earlier, later in pairwise(downs)]
    waits_s = [HOLD_S, 10, 20, 40, 60, 60]
    assert [gap for gap, _ in zip(gaps_s, waits_s, strict=False)] == pytest.approx(waits_s, abs=2)
    assert len(changes) <= 2 * 600 / LONGEST_HOLD_S + 10
    # Once a better level has lasted, the waits are short again.
    run(deadline, 200, steady(1), start_s=600)
    assert deadline.level == 0
    down, up = run(deadline, 10, lambda now_s, level: 2.0 if now_s < 801 else 1.0, start_s=800)[:2]
    assert up - down < HOLD_S + 2


def test_what_does_not_scale_with_the_level_is_not_predicted_to() -> None:
    deadline = Deadline(250, [100, 10])
    for frame in range(WINDOW):
        deadline.observe(frame, 300, 50)
    assert deadline.level == 1
    # 10 + 50 ms here are 100 + 50 there; scaled as a whole they would be 600.
    for frame in range(100):
        deadline.observe(frame * NS_PER_S // RATE_HZ, 10, 50)
    assert deadline.level == 0


@pytest.mark.parametrize(("load", "level"), [(1.4, 1), (1.7, 2)])
def test_a_level_whose_measurement_was_disturbed_is_not_held_to_be_dearer(load: float, level: int) -> None:
    deadline = Deadline(75, [60, 50, 100])
    for frame in range(WINDOW):
        deadline.observe(frame, 60 * load, 0)
    assert deadline.level == level


@pytest.mark.parametrize(
    ("target_ms", "costs_ms", "message"),
    [
        (0, [1.0], "target_ms is 0, expected more than 0"),
        (10, [], r"costs_ms is \[\], expected one or more"),
        (10, [1.0, 0.0], r"costs_ms is \[1.0, 0.0\], expected .*above 0"),
    ],
)
def test_values_out_of_range_are_refused(target_ms: float, costs_ms: Sequence[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Deadline(target_ms, costs_ms)
