"""What all replays come to, wherever they ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from t2g_ros.evaluation.outputs.moments import SHOWN, moment_from_json
from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.evaluation.replay.loop import Run
from t2g_ros.evaluation.report import Moment
from t2g_ros.evaluation.report.results import add_drops, row
from t2g_ros.labels import LabelSpace


@dataclass
class Merged:
    """The replays of all recordings, put together."""

    rows: list[dict[str, Any]]
    inputs: dict[int, dict[str, Any]]
    """What is known of each recording that could be evaluated, by its index."""
    failed: dict[int, str]
    """Why the others could not."""
    timelines: list[dict[str, Any]]
    moments: list[Moment]
    """The worst of all recordings, the worst first."""


def merge(
    units: Sequence[dict[str, Any]], runs: Sequence[Run], conditions: Sequence[Condition], space: LabelSpace
) -> Merged:
    """Put the replays together; a recording that failed under one condition is left out of all rows.

    Args:
        units: of every recording (`source`) and `condition`: `failed`, or the `counts` of each run and, under the
            first condition, `input`, `timelines` and `moments`. In the order of the recordings, so that sums of
            floats are the same to the last bit whoever did the work.
    """
    failed: dict[int, str] = {}
    for unit in units:
        if "failed" in unit:
            failed.setdefault(unit["source"], unit["failed"])
    units = [unit for unit in units if unit["source"] not in failed]
    totals = [[Counts(len(space)) for _ in runs] for _ in conditions]
    for unit in units:
        for total, values in zip(totals[unit["condition"]], unit["counts"], strict=True):
            total += Counts.from_json(values)
    rows = [
        row(run, condition, total, space)
        for condition, of_condition in zip(conditions, totals, strict=True)
        for run, total in zip(runs, of_condition, strict=True)
    ]
    add_drops(rows)
    shown = [unit for unit in units if "input" in unit]
    moments = sorted((pair for unit in shown for pair in unit["moments"]), key=lambda pair: -pair[0])
    return Merged(
        rows=rows,
        inputs={unit["source"]: unit["input"] for unit in shown},
        failed=failed,
        timelines=[timeline for unit in shown for timeline in unit["timelines"]],
        moments=[moment_from_json(values) for _, values in moments[:SHOWN]],
    )
