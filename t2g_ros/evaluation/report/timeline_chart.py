"""The flicker of one recording over its time, thinned out for display so that no peak is lost."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2g_ros.evaluation.report.charts import PERCENT_HOVER, TRUTH, Chart, bare_figure
from t2g_ros.evaluation.report.series import Key, Series
from t2g_ros.evaluation.report.wording import known, number

BUCKETS = 300
"""A curve of more than twice as many points is drawn by the smallest and the largest of each bucket."""
COMPENSATED_COLOR = "#A87800"
MOMENT_COLOR = "#C2699C"


def kept_points(curves: Sequence[NDArray[np.float64]]) -> NDArray[np.intp]:
    """Return the indices to draw of curves over one time axis: all, or where one is extreme in its bucket.

    Args:
        curves: each (n,), nan where there is no value.
    """
    n = len(curves[0])
    if n <= 2 * BUCKETS:
        return np.arange(n)
    keep: set[int] = {0, n - 1}
    for start, end in pairwise(np.linspace(0, n, BUCKETS + 1).astype(int)):
        for curve in curves:
            part = curve[start:end]
            if np.isnan(part).all():
                keep.add(int(start))
            else:
                keep |= {int(start + np.nanargmin(part)), int(start + np.nanargmax(part))}
    return np.array(sorted(keep))


def timeline(
    name: str, entries: Sequence[tuple[Series, dict[str, Any]]], moments: Sequence[tuple[int, float]]
) -> Chart:
    """Draw the flicker of one recording.

    Args:
        name: of the recording.
        entries: its timelines, each with its series; the first is drawn in full, of the others the flicker at request.
        moments: number and time in seconds of the worst moments in it.
    """
    traces: list[Any] = []
    keys: list[Key] = []
    longest = drawn = 0
    for n, (series, entry) in enumerate(entries):
        time_s, flicker, compensated, truth, accuracy = (
            np.array(entry[key], np.float64)  # null becomes nan
            for key in ("time_s", "flicker", "flicker_compensated", "truth_flicker", "pixel_accuracy")
        )
        curves = [("flicker", flicker, Key(series.group, series.name, series.color, series.dash))]
        if n == 0:
            curves += [
                ("compensated", compensated, Key("compensated", "the same, motion compensated", COMPENSATED_COLOR)),
                ("truth", truth, TRUTH),
            ]
        curves = [curve for curve in curves if not np.isnan(curve[1]).all()]
        if not curves:
            continue
        # A mark stands on its curve.
        marked = [int(np.abs(time_s - t).argmin()) for _, t in moments]
        keep = np.union1d(kept_points([values for _, values, _ in curves]), np.array(marked, np.intp))
        if len(time_s) > longest:
            longest, drawn = len(time_s), len(keep)
        right = [f", {number(a)} % of pixels right" if known(a) else "" for a in accuracy[keep].tolist()]
        for kind, values, key in curves:
            shown = n == 0
            keys.append(Key(key.group, key.name, key.color, key.dash, shown=shown))
            traces.append(
                go.Scatter(
                    x=time_s[keep].round(3).tolist(),
                    y=values[keep].round(3).tolist(),
                    name=escape(key.name, quote=False),
                    legendgroup=key.group,
                    visible=shown,
                    mode="lines",
                    line={"color": key.color, "dash": key.dash if n else "solid", "width": 1.6},
                    customdata=right if kind == "flicker" else None,
                    hovertemplate=PERCENT_HOVER + ("%{customdata}" if kind == "flicker" else ""),
                )
            )
    if traces and moments:
        first = entries[0][1]
        times = np.array(first["time_s"])
        heights = np.nan_to_num(np.array(first["flicker_compensated"], np.float64))
        keys.append(Key("moments", "worst moments, numbered", MOMENT_COLOR, symbol="triangle-down"))
        traces.append(
            go.Scatter(
                x=[t for _, t in moments],
                y=[float(heights[np.abs(times - t).argmin()]) for _, t in moments],
                text=[str(number) for number, _ in moments],
                name="worst moments",
                legendgroup="moments",
                mode="markers+text",
                textposition="top center",
                marker={"symbol": "triangle-down", "size": 11, "color": MOMENT_COLOR},
                cliponaxis=False,
                hovertemplate="worst moment %{text}",
            )
        )
    figure = bare_figure(
        traces,
        320,
        hovermode="x unified",
        dragmode="zoom",
        xaxis={"title": {"text": "Seconds into the drive"}, "ticksuffix": " s", "hoverformat": ".2f"},
        yaxis={"ticksuffix": " %", "rangemode": "tozero"},
    )
    note = (
        f"Drawn at {drawn:,} of {longest:,} frames: the smallest and the largest value of every {longest // BUCKETS}, "
        "so that every peak is seen."
        if drawn < longest
        else ""
    )
    return Chart(name, figure, f"Flicker over the time of {name}", note, tuple(keys))
