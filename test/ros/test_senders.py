"""Telling one driver, a restarted one and two at a time by the numbers under which they send."""

from __future__ import annotations

import pytest

from t2g_ros.ros.senders import Senders

FRAME_S = 0.1


def play(senders: Senders, numbers: list[int | None], publishers: int, start_s: float = 0.0) -> list[bool]:
    return [senders.sent(number, publishers, start_s + i * FRAME_S) for i, number in enumerate(numbers)]


def test_one_driver_that_loses_images_is_one_driver() -> None:
    senders = Senders()
    assert not any(play(senders, [1, 2, 5, 6, 60, 61], publishers=1))
    assert not senders.interleaved(1.0)


def test_a_driver_whose_crashed_forerunner_is_still_known_keeps_its_memory() -> None:
    senders = Senders()
    play(senders, [100, 101], publishers=1)
    senders.joined()
    assert not any(play(senders, [1, 2, 3, 4], publishers=2))
    assert not senders.interleaved(0.4)


@pytest.mark.parametrize("numbers", [[100, 1, 101, 2, 102, 3], [7, 8, 8, 9, 9, 10], [5, 5, 6, 6, 7, 7], [None] * 6])
def test_two_at_a_time_are_found_by_their_second_change(numbers: list[int | None]) -> None:
    senders = Senders()
    told = play(senders, numbers, publishers=2)
    # Where numbers follow each other by chance one change goes unnoticed; from the second on none does.
    assert told[4:] == [True, True]
    assert sum(told) >= 3
    assert senders.interleaved(0.5)


def test_every_change_is_told_where_numbers_differ() -> None:
    assert play(Senders(), [100, 1, 101, 2], publishers=2) == [False, True, True, True]


def test_it_is_over_when_one_of_them_goes_or_falls_silent() -> None:
    senders = Senders()
    play(senders, [100, 1, 101, 2], publishers=2)
    assert play(senders, [3], publishers=1) == [False]
    assert not senders.interleaved(0.5)
    play(senders, [103, 4, 104, 5], publishers=2)
    assert not any(play(senders, list(range(6, 30)), publishers=2, start_s=3.0))
    assert not senders.interleaved(6.0)
