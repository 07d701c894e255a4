"""The table of bars: which figure of an evaluation is held against which bar."""

from __future__ import annotations

from typing import Any

import pytest
from bars import Bar, as_table, bars_of

from t2g_ros.training.synthetic import STYLES

STREAM = {
    "memory": (75.0, 4.2, 2.1, 2.2, 96.0, 95.0, 20.0),
    "single_frame": (74.0, 5.5, 3.5, 3.6, 93.0, 92.0, 18.0),
    "ema_0.5": (72.0, 3.6, 2.4, 2.4, 95.0, 95.2, 19.0),
    "flow_ema_0.5": (74.8, 4.4, 2.2, 2.7, 94.5, 94.0, 31.0),
    "flow_ema_0.8": (75.0, 3.8, 1.4, 2.1, 95.2, 95.2, 31.0),
}
KEYS = ("miou", "flicker", "flicker_compensated", "flicker_stable", "mvc8", "mvc16")


def row(mode: str, condition: str, lost: float = 0.0) -> dict[str, Any]:
    *figures, ms = STREAM[mode]
    own = dict(zip(KEYS, figures, strict=True))
    return own | {"mode": mode, "condition": condition, "miou_drop": lost, "latency_ms": {"total": {"p50": ms}}}


@pytest.fixture
def measured() -> dict[str, Any]:
    rows = [row(mode, "stride 1") for mode in STREAM]
    rows += [row(mode, name, lost) for name, lost in (("stride 10", 1.0), ("drop 0.2", 1.1)) for mode in STREAM]
    plain = {name: {"rows": [{"miou": 60.0}]} for name in ("kitti", *STYLES)}
    plain["night"] = {"rows": [{"miou": 59.9}]}
    weather = {"robustness": [{"miou": 60.0, "share_of_clean": 80.0}]}
    return plain | {"camvid": {"rows": rows}, "weather": weather}


def by_name(measured: dict[str, Any]) -> dict[tuple[str, str], Bar]:
    return {(bar.on, bar.what): bar for bar in bars_of(measured)}


def test_a_bar_is_met_at_its_own_figure_but_a_rival_must_be_beaten(measured: dict[str, Any]) -> None:
    found = by_name(measured)
    assert found["camvid/val, 15 Hz", "mIoU"].met  # 75 of 75
    assert found["camvid/val, 15 Hz", "flicker, label-stable"].met
    assert found["against flow_ema_0.5", "mIoU"].met
    assert found["against flow_ema_0.8", "mIoU"].met is False  # no more than equal
    assert found["against flow_ema_0.8", "flicker, label-stable"].met is False
    assert found["against flow_ema_0.8", "mVC8"].met
    assert found["against flow_ema_0.8", "mVC16"].met is False
    assert found["against flow_ema_0.8", "ms per frame"].met
    assert found["camvid/val, all weather", "mIoU, % of the clean"].met
    assert found["rendered drives, night", "mIoU"].met is False
    assert found["rendered drives, fog", "mIoU"].met
    assert found["rendered drives, day", "mIoU"].met is None  # only told


def test_frame_rates_are_those_of_the_memory_alone(measured: dict[str, Any]) -> None:
    rates = {bar.on: bar.met for bar in bars_of(measured) if bar.what == "mIoU lost against stride 1"}
    assert rates == {"camvid/val, stride 10": True, "camvid/val, drop 0.2": False}


def test_a_model_without_kitti_is_held_against_a_single_frame(measured: dict[str, Any]) -> None:
    assert not any("without it" in bar.on for bar in bars_of(measured))
    more = {name: {"rows": [{"miou": v}]} for name, v in (("kitti_unseen", 50.0), ("kitti_unseen_single_frame", 49.0))}
    bar = by_name(measured | more)["kitti_sem, trained without it", "mIoU of 11 classes"]
    assert (bar.figure, bar.bar, bar.met) == (50.0, 49.0, True)
    assert "| kitti_sem, trained without it | mIoU of 11 classes | 50.00 | > 49 | yes |" in as_table([bar])
