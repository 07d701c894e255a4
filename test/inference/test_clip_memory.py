"""Which frames are remembered, at any rate, and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2g_ros.inference.clip_memory import ClipMemory
from t2g_ros.types import NS_PER_S

SLOTS, SPAN_S = 5, 1.0
HORIZON_S = SPAN_S + SPAN_S / (SLOTS - 1)
EPOCH_NS = 1_700_000_000 * NS_PER_S


def feed(memory: ClipMemory, times_s: np.ndarray) -> list[dict[int, float]]:
    """Claim a slot per time; per frame with an output, the valid slots and their offsets in seconds."""
    views = []
    for time_s in times_s:
        memory.claim(EPOCH_NS + round(float(time_s) * NS_PER_S))
        reference = memory.reference()
        if reference is not None:
            offsets_s, valid = memory.view(reference)
            assert offsets_s.dtype == valid.dtype == np.float32
            assert set(valid.tolist()) <= {0.0, 1.0}
            views.append({int(slot): float(offsets_s[slot]) for slot in np.flatnonzero(valid)})
    return views


def steady(rate_hz: float, seconds: float = 10.0, jitter: float = 0.0) -> np.ndarray:
    """Times of a camera; jitter is a share of the interval."""
    index = np.arange(round(seconds * rate_hz))
    return (index + np.random.default_rng(0).uniform(-jitter, jitter, len(index)) / 2) / rate_hz


@pytest.mark.parametrize(
    ("rate_hz", "frames", "shortest_s", "longest_s"),
    [
        (30, 5, 0.7, 1.25),
        (15, 5, 0.8, 1.25),
        (10, 5, 0.8, 1.25),
        (5, 5, 0.79, 1.25),
        (4, 5, 1.0, 1.25),
        (2, 3, 1.0, 1.25),  # 0, 0.5 and 1 s: no more lie inside the span
        (1, 2, 1.0, 1.25),
    ],
)
def test_the_clip_spans_the_same_time_at_any_rate(
    rate_hz: float, frames: int, shortest_s: float, longest_s: float
) -> None:
    for view in feed(ClipMemory(SLOTS, SPAN_S), steady(rate_hz))[round(2 * rate_hz) :]:
        assert len(view) == frames
        assert shortest_s <= -min(view.values()) <= longest_s


@pytest.mark.parametrize("rate_hz", [30, 15, 10, 5, 4])
def test_jitter_neither_empties_nor_shortens_the_clip(rate_hz: float) -> None:
    views = feed(ClipMemory(SLOTS, SPAN_S), steady(rate_hz, 60, jitter=0.5))[round(2 * rate_hz) :]
    assert np.mean([len(view) for view in views]) > 4.7
    assert min(len(view) for view in views) >= 4
    assert min(-min(view.values()) for view in views) > 0.6


def test_a_fast_camera_fills_the_span_evenly() -> None:
    for view in feed(ClipMemory(SLOTS, SPAN_S), steady(60))[120:]:
        anchors = np.sort(list(view.values()))[:-1]
        np.testing.assert_allclose(np.diff(anchors), 0.25, atol=1 / 60)


def test_offsets_are_true_seconds_from_33_ms_to_a_second() -> None:
    (*_, at_30_hz), (*_, at_1_hz) = (feed(ClipMemory(2, SPAN_S), steady(rate, 10)) for rate in (30, 1))
    assert sorted(at_1_hz.values()) == [-1.0, 0.0]
    assert max(value for value in at_30_hz.values() if value) >= -1.0
    memory = ClipMemory(SLOTS, SPAN_S)
    view = feed(memory, np.array([0, 1 / 30]))[-1]
    assert sorted(view.values()) == pytest.approx([-1 / 30, 0], abs=1e-8)


def test_the_memory_begins_with_what_there_is() -> None:
    views = feed(ClipMemory(SLOTS, SPAN_S), steady(4, 2))
    assert [len(view) for view in views] == [1, 2, 3, 4, 5, 5, 5, 5]


def test_frames_beyond_the_horizon_take_no_part_but_for_the_last() -> None:
    memory = ClipMemory(SLOTS, SPAN_S)
    view = feed(memory, np.array([0, 0.25, 0.5, 1.74]))[-1]
    assert sorted(view.values()) == pytest.approx([-1.24, 0])
    view = feed(memory, np.array([3.5]))[-1]
    assert sorted(view.values()) == pytest.approx([-1.76, 0])


@pytest.mark.parametrize("rate_hz", [1.5, 0.7])
def test_a_camera_slower_than_the_span_remembers_its_last_frame(rate_hz: float) -> None:
    for view in feed(ClipMemory(SLOTS, 0.5), steady(rate_hz))[1:]:
        assert sorted(view.values()) == pytest.approx([-1 / rate_hz, 0])


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_a_lag_segments_the_frame_with_its_future_in_memory(lag: int) -> None:
    memory = ClipMemory(SLOTS, SPAN_S, lag)
    times_s = steady(10, 5)
    views = feed(memory, times_s)
    assert len(views) == len(times_s) - lag
    for view in views[30:]:
        future = sorted(value for value in view.values() if value > 0)
        assert future == pytest.approx([0.1 * (i + 1) for i in range(lag)])
        assert 0.0 in view.values()
        assert len(view) == SLOTS


def test_clear_forgets_everything() -> None:
    memory = ClipMemory(SLOTS, SPAN_S)
    feed(memory, steady(10, 3))
    memory.clear()
    assert memory.newest_stamp_ns is None
    assert memory.reference() is None
    first, second = feed(memory, np.array([-50.0, -49.9]))  # earlier than all that was there
    assert list(first.values()) == [0.0]
    assert sorted(second.values()) == pytest.approx([-0.1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 0.0), "clip_span_s is 0"), ((5, 1.0, 5), "lag is 5, expected 0 to 4"), ((5, 1.0, -1), "lag is -1")],
)
def test_impossible_memories_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipMemory(*arguments)


@given(
    slots=st.integers(1, 7),
    lag=st.integers(0, 6),
    span_s=st.floats(0.05, 5),
    steps_ns=st.lists(st.integers(1, 3 * NS_PER_S), min_size=1, max_size=60),
)
def test_what_holds_for_any_stream(slots: int, lag: int, span_s: float, steps_ns: list[int]) -> None:
    lag = min(lag, slots - 1)
    memory = ClipMemory(slots, span_s, lag)
    anchor_slots = slots - 1 - lag
    horizon_s = span_s * (1 + 1 / max(anchor_slots, 1))
    stamps_ns = EPOCH_NS + np.cumsum(steps_ns)
    slot_of: dict[int, int] = {}
    shown: set[int] = set()
    for index, stamp_ns in enumerate(stamps_ns.tolist()):
        claimed = memory.claim(stamp_ns)
        assert memory.newest_stamp_ns == stamp_ns == memory.stamp_ns(claimed)
        reference = memory.reference()
        assert (reference is None) == (index < lag)
        if reference is None:
            slot_of[stamp_ns] = claimed
            continue
        assert memory.stamp_ns(reference) == stamps_ns[index - lag]
        offsets_s, valid = memory.view(reference)
        assert len(offsets_s) == len(valid) == slots
        held = {memory.stamp_ns(slot): slot for slot in np.flatnonzero(valid).tolist()}
        assert len(held) == valid.sum()  # never one frame twice
        assert valid[reference] == 1
        assert offsets_s[reference] == 0
        assert not offsets_s[valid == 0].any()
        for stamp, slot in held.items():
            assert offsets_s[slot] == pytest.approx((stamp - memory.stamp_ns(reference)) / NS_PER_S, rel=1e-6)
            if abs(offsets_s[slot]) > horizon_s + 1e-6:  # only the last of the frames before
                assert stamp == max(other for other in held if other < memory.stamp_ns(reference))
            # A frame stays where it was encoded.
            assert slot == slot_of.get(stamp, claimed if stamp == stamp_ns else None)
        # Every frame of the recent past and of the future within the horizon is there.
        for recent in stamps_ns[index - lag : index + 1].tolist():
            if recent - memory.stamp_ns(reference) <= horizon_s * NS_PER_S - 1:
                assert recent in held
        if lag == 0:
            assert not (set(held) & (set(slot_of) - shown))  # once gone, it never comes back
            shown = set(held)
        slot_of[stamp_ns] = claimed
