"""The charts of the page as plotly figures; colours of paper, ink and grid are the page's own (page.js)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from t2g_ros.evaluation.report.series import TRUTH_COLOR, Key, Row, Series
from t2g_ros.evaluation.report.wording import count, known, listing, milliseconds, number, percent

UNEVEN_SYMBOLS = {"jitter": "triangle-up-open", "drop": "x-open"}
TRUTH = Key("truth", "ground truth itself", TRUTH_COLOR)
PERCENT_HOVER = "%{y:.2f} %"
LEAST_SPAN = {"miou": 2.0, "flicker_compensated": 0.5}
"""Points that an axis spans at least, so that a difference that means nothing does not look like one."""

QUARTERS = {"tickvals": [0, 25, 50, 75, 100], "ticktext": ["0 %", "25 %", "50 %", "75 %", "100 %"]}


@dataclass(frozen=True)
class Chart:
    """A figure and what is written around it."""

    title: str
    figure: go.Figure
    description: str
    """What it shows, for those who cannot see it."""
    note: str = ""
    keys: tuple[Key, ...] = ()
    """Legend of this chart alone; charts of one section share one otherwise."""


def bare_figure(traces: Sequence[Any], height: int, **layout: Any) -> go.Figure:
    """A figure without a legend or a theme of its own; its height is for type of 14 px."""
    return go.Figure(traces, {"height": height, "uirevision": "kept", "showlegend": False, "template": None, **layout})


def _line(series: Series, x: list[Any], y: list[float | None], **options: Any) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        name=escape(series.name, quote=False),
        legendgroup=series.group,
        mode="lines+markers",
        line={"color": series.color, "dash": series.dash, "width": 2.5},
        marker={"symbol": series.symbol, "size": 9},
        **{"hovertemplate": PERCENT_HOVER, **options},
    )


def memory_bars(series: Sequence[Series]) -> list[Chart]:
    """One bar chart per metric: every mode of every model, and the ground truth where it has the metric itself."""
    charts = []
    for title, key, own in (
        ("mIoU, higher is better", "miou", None),
        ("mVC8, higher is better", "mvc8", None),
        ("Flicker, lower is better", "flicker", "truth_flicker"),
        ("Compensated flicker, lower is better", "flicker_compensated", "truth_flicker_compensated"),
    ):
        bars = [(s.key, s.reference[key]) for s in series if s.reference and known(s.reference[key])]
        first = next(s.reference for s in series if s.reference)
        if own and known(first[own]):
            bars.append((TRUTH, first[own]))
        if not bars:
            continue
        traces = [
            go.Bar(
                x=[str(n)],
                y=[value],
                name=escape(k.name, quote=False),
                legendgroup=k.group,
                marker_color=k.color,
                text=[number(value)],
                textposition="outside",
                textangle=0,
                constraintext="none",
                cliponaxis=False,
                hovertemplate=PERCENT_HOVER,
            )
            for n, (k, value) in enumerate(bars)
        ]
        figure = bare_figure(
            traces,
            220,
            xaxis={"visible": False},
            yaxis={"visible": False, "range": [0, 1.15 * max(v for _, v in bars)], "fixedrange": True},
            margin={"l": 4, "r": 4, "t": 12, "b": 4},
            bargap=0.25,
        )
        charts.append(Chart(title, figure, f"{title}: {listing([f'{k.name} {percent(v)}' for k, v in bars], 20)}"))
    return charts


def frame_rate(series: Sequence[Series], fps: float | None) -> list[Chart]:
    """MIoU and compensated flicker against the stride; jitter and drops as open marks beside the lines.

    Args:
        series: all of them.
        fps: frames per second of the recordings; None if it is unknown or not the same for all.
    """
    charts = []
    gaps = [_mean_gap(row) for s in series for row in (*s.by_stride(), *s.uneven())]
    low, high = min(gaps), max(gaps)
    whole = sorted({round(gap) for gap in gaps})
    # Two labels closer than this share of the axis would run into each other.
    apart = 0.09 * (high - low)
    shown = [n for i, n in enumerate(whole) if i == 0 or n == whole[-1] or (n - whole[i - 1] >= apart)]
    axis = {
        "title": {"text": f"Every n-th of {fps:g} frames per second" if fps else "Every n-th frame"},
        "tickvals": shown,
        "ticktext": [str(n) for n in shown],
        "range": [low - 0.05 * high, 1.06 * high],
        "hoverformat": ".3g",
    }
    for title, key, own in (
        ("mIoU", "miou", None),
        ("Compensated flicker", "flicker_compensated", "truth_flicker_compensated"),
    ):
        traces: list[Any] = []
        for s in series:
            rows = s.by_stride()
            if any(known(r[key]) for r in rows):
                traces.append(_line(s, [r["stride"] for r in rows], [r[key] for r in rows]))
            traces += [_mark(s, row, key) for row in s.uneven() if known(row[key])]
        if own and traces and any(known(r[own]) for r in series[0].by_stride()):
            rows = series[0].by_stride()
            traces.append(_truth_line([r["stride"] for r in rows], [r[own] for r in rows]))
        if traces:
            values = [value for trace in traces for value in trace.y if known(value)]
            layout = {"xaxis": axis, "yaxis": _percent_axis(values, LEAST_SPAN[key]), "hovermode": "closest"}
            charts.append(
                Chart(title, bare_figure(traces, 320, **layout), f"{title} against the stride, as in the table")
            )
    return charts


def _mean_gap(row: Row) -> float:
    """Frames from one that the network sees to the next."""
    return float(row["stride"] / (1 - row["drop"]))


def _percent_axis(values: Sequence[float], least: float) -> dict[str, Any]:
    """An axis that the values fill, but that does not blow up differences of less than `least` points."""
    middle, span = (max(values) + min(values)) / 2, max(max(values) - min(values), least)
    low = middle - 0.58 * span
    # A share is not negative.
    return {"ticksuffix": " %", "range": [max(low, -0.02 * span), low + 1.16 * span]}


def _mark(series: Series, row: Row, key: str) -> go.Scatter:
    """A row with uneven gaps, where its mean gap is."""
    return go.Scatter(
        x=[_mean_gap(row)],
        y=[row[key]],
        name=escape(series.name, quote=False),
        legendgroup=series.group,
        mode="markers",
        marker={
            "color": series.color,
            "symbol": UNEVEN_SYMBOLS["jitter" if row["jitter"] else "drop"],
            "size": 11,
            "line": {"width": 2},
        },
        hovertemplate=f"{escape(row['condition'], quote=False)}: {PERCENT_HOVER}",
    )


def _truth_line(x: list[Any], y: list[float | None], **options: Any) -> go.Scatter:
    line = {"color": TRUTH.color, "width": 2}
    return go.Scatter(
        x=x,
        y=y,
        name=TRUTH.name,
        legendgroup=TRUTH.group,
        mode="lines",
        line=line,
        hovertemplate=PERCENT_HOVER,
        **options,
    )


def corruptions(series: Sequence[Series]) -> list[Chart]:
    """One chart per family: mIoU against severity, 0 being the clean images; without truth, compensated flicker."""
    rows = [row for s in series for row in s.rows if row["corruption"] is not None]
    families = list(dict.fromkeys(row["corruption"] for row in rows))
    key, name = ("miou", "mIoU") if any(known(r["miou"]) for r in rows) else ("flicker_compensated", "Flicker")
    drawn = {family: [(s, s.by_severity(family)) for s in series] for family in families}
    values = [row[key] for pairs in drawn.values() for _, found in pairs for row in found if known(row[key])]
    if not values:
        return []
    charts = []
    for family, pairs in drawn.items():
        traces = [_line(s, [r["severity"] or 0 for r in f], [r[key] for r in f]) for s, f in pairs if f]
        figure = bare_figure(
            traces,
            280,
            xaxis={"title": {"text": "Severity"}, "tickvals": list(range(6)), "range": [-0.25, 5.25]},
            # One range for all families, so that they compare.
            yaxis=_percent_axis(values, LEAST_SPAN[key]),
            hovermode="closest",
        )
        charts.append(Chart(f"{name} in {family}", figure, f"{name} against the severity of {family}, as in the table"))
    return charts


def class_bars(series: Sequence[Series], classes: Sequence[str], colors: Sequence[Sequence[int]]) -> Chart | None:
    """IoU of every class that is in the ground truth, best first."""
    drawn = [(s, s.reference["iou"]) for s in series if s.reference]
    present = [name for name in classes if any(known(iou.get(name)) for _, iou in drawn)]
    if not present:
        return None
    present.sort(key=lambda name: next(iou[name] for _, iou in drawn if known(iou.get(name))))
    swatch = {name: "rgb({}, {}, {})".format(*color) for name, color in zip(classes, colors, strict=True)}
    # Bars of one class are drawn from the bottom up.
    traces = [
        go.Bar(
            x=[iou.get(name) for name in present],
            y=list(range(len(present))),
            orientation="h",
            name=escape(s.name, quote=False),
            legendgroup=s.group,
            marker_color=s.color,
            text=[number(iou.get(name)) for name in present] if len(drawn) == 1 else None,
            textposition="outside",
            cliponaxis=False,
            customdata=[escape(name, quote=False) for name in present],
            hovertemplate="%{customdata}: %{x:.2f} %",
        )
        for s, iou in reversed(drawn)
    ]
    labels = [f'{escape(name, quote=False)} <span style="color:{swatch[name]}">■</span> ' for name in present]
    figure = bare_figure(
        traces,
        70 + len(present) * max(26, 9 * len(drawn) + 8),
        xaxis={"range": [0, 100], **QUARTERS},
        yaxis={"tickvals": list(range(len(present))), "ticktext": labels, "showgrid": False, "ticklen": 0},
        hovermode="closest",
        bargap=0.25,
        bargroupgap=0.1,
        margin={"r": 36},
    )
    ranked = [f"{name} {percent(drawn[0][1].get(name))}" for name in reversed(present)]
    missing = [name for name in classes if name not in present]
    note = f"Not in the ground truth: {listing(missing, len(missing))}." if missing else ""
    return Chart("", figure, f"IoU of {drawn[0][0].name} by class: {listing(ranked, len(ranked))}", note)


def calibration(series: Sequence[Series]) -> list[Chart]:
    """How often a pixel of some confidence is right, and how many pixels there are of each confidence."""
    drawn = [
        (s, [b for b in s.reference["calibration"] if b["pixels"]])
        for s in series
        if s.reference and any(b["pixels"] for b in s.reference["calibration"])
    ]
    if not drawn:
        return []
    diagonal = go.Scatter(
        x=[0, 100],
        y=[0, 100],
        name="confidence is accuracy",
        mode="lines",
        line={"color": TRUTH_COLOR, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    lines = [
        _line(
            s,
            [100 * b["confidence"] for b in bins],
            [100 * b["accuracy"] for b in bins],
            hovertemplate="%{y:.1f} % right at a confidence of %{x:.1f} %",
        )
        for s, bins in drawn
    ]
    across = {"title": {"text": "Confidence"}, "range": [-2, 102], **QUARTERS}
    up = {"range": [-2, 102], **QUARTERS}
    shares = [
        go.Scatter(
            x=[50 * (b["above"] + b["up_to"]) for b in bins],
            y=[100 * b["pixels"] / sum(b["pixels"] for b in bins) for b in bins],
            name=escape(s.name, quote=False),
            legendgroup=s.group,
            mode="lines",
            line={"color": s.color, "dash": s.dash, "width": 2.5, "shape": "hvh"},
            hovertemplate="%{y:.1f} % of the pixels",
        )
        for s, bins in drawn
    ]
    return [
        Chart(
            "Pixels that are right, by confidence",
            bare_figure([diagonal, *lines], 320, xaxis=across, yaxis=up, hovermode="closest"),
            "Accuracy against confidence; on the dotted diagonal they are equal",
            "On the dotted diagonal the confidence can be taken at its word; below it the model is too sure of itself.",
        ),
        Chart(
            "Share of the pixels, by confidence",
            bare_figure(
                shares, 320, xaxis=across, yaxis={"ticksuffix": " %", "rangemode": "tozero"}, hovermode="closest"
            ),
            "How many pixels have which confidence",
        ),
    ]


def latency(series: Sequence[Series]) -> Chart | None:
    """How the time per frame is distributed, as far as the histograms reach."""
    drawn = [(s, s.reference["latency_histogram"]) for s in series if s.reference]
    drawn = [(s, histogram) for s, histogram in drawn if sum(histogram["counts"])]
    if not drawn:
        return None
    traces = []
    for n, (s, histogram) in enumerate(drawn):
        frames = sum(histogram["counts"]) + histogram["beyond"]
        shares = [100 * c / frames for c in histogram["counts"]]
        traces.append(
            go.Scatter(
                x=histogram["edges_ms"],
                y=[*shares, shares[-1]],
                name=escape(s.name, quote=False),
                legendgroup=s.group,
                mode="lines",
                fill="tozeroy" if n == 0 else None,
                line={"color": s.color, "dash": s.dash, "width": 2, "shape": "hv"},
                hovertemplate="from %{x:.1f} ms: %{y:.1f} %",
            )
        )
    low = min(edge for _, h in drawn for c, edge in zip(h["counts"], h["edges_ms"], strict=False) if c)
    high = max(h["edges_ms"][-1] for _, h in drawn)
    figure = bare_figure(
        traces,
        300,
        xaxis={"title": {"text": "Milliseconds per frame"}, "range": [0 if low < high / 2 else 0.9 * low, high]},
        yaxis={"ticksuffix": " %", "rangemode": "tozero"},
        hovermode="closest",
    )
    beyond = sum(h["beyond"] for _, h in drawn)
    longest = max(h["longest_ms"] for _, h in drawn if h["beyond"]) if beyond else None
    note = f"{count(beyond, 'frame')} took longer, up to {milliseconds(longest)}." if beyond else ""
    return Chart("Share of the frames by their time", figure, "Distribution of the time per frame", note)
