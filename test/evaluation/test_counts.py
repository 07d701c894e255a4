"""Counts add up, and survive the journey between processes."""

import json

import numpy as np

from t2g_ros.evaluation.replay.counts import MEANS, Counts


def some(seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    counts = Counts(3)
    for name in ("confusion", "tc", "calibration"):
        getattr(counts, name)[:] = rng.integers(0, 10**12, getattr(counts, name).shape)
    for name in MEANS:
        counts.means[name].add(rng.random())
    counts.masks, counts.reference_frames = 7, 5
    counts.stage_ms = {"encode": rng.random(7).tolist()}
    counts.resets.update(gap=seed)
    return counts


def test_they_are_equal_after_a_journey_as_text() -> None:
    counts = some(3)
    again = Counts.from_json(json.loads(json.dumps(counts.to_json())))
    assert again.to_json() == counts.to_json()
    assert again.confusion.dtype == np.int64
    assert again.means["flicker"].value == counts.means["flicker"].value


def test_merging_adds_everything() -> None:
    total = Counts(3)
    total += some(1)
    total += some(2)
    np.testing.assert_array_equal(total.confusion, some(1).confusion + some(2).confusion)
    np.testing.assert_array_equal(total.tc, some(1).tc + some(2).tc)
    np.testing.assert_array_equal(total.calibration, some(1).calibration + some(2).calibration)
    assert all(total.means[name].count == 2 for name in MEANS)
    assert total.masks == 14
    assert total.reference_frames == 10
    assert total.stage_ms["encode"] == some(1).stage_ms["encode"] + some(2).stage_ms["encode"]
    assert total.resets == {"gap": 3}
