"""Puts the report together: figures, sentences, charts and pictures into one HTML file that loads nothing."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2g_ros.evaluation.report import wording
from t2g_ros.evaluation.report.schema import load_schema
from t2g_ros.evaluation.report.series import Key, Series, series_of

if TYPE_CHECKING:
    from t2g_ros.evaluation.report.charts import Chart

FOLDER = Path(__file__).parent

METRICS = {
    "miou": "mIoU",
    "miou_protocol": "mIoU protocol",
    "miou_drop": "Lost points",
    "mvc8": "mVC8",
    "mvc16": "mVC16",
    "mvc8_vspw": "mVC8 VSPW",
    "mvc16_vspw": "mVC16 VSPW",
    "tc": "TC",
    "flicker": "Flicker",
    "truth_flicker": "Truth’s flicker",
    "flicker_compensated": "Compensated flicker",
    "truth_flicker_compensated": "Truth’s compensated flicker",
    "flicker_stable": "Flicker at rest",
    "ece": "ECE",
}
"""Key of a row -> its heading, in the order of the table."""


TIMELINES = 6
"""As many are drawn at most."""

COMPARED = {
    "miou": True,
    "mvc8": True,
    "mvc16": True,
    "flicker": False,
    "flicker_compensated": False,
    "flicker_stable": False,
}
"""What the memory is judged by -> whether more is better."""


@dataclass(frozen=True)
class Moment:
    """A moment of the drive worth a look, with its pictures."""

    input: str
    """Name of the recording, as in `inputs` of the results."""
    time_s: float
    """Seconds since the recording's first frame, as in the timelines."""
    frame: str
    """Name of the frame."""
    what: str
    """What was found there: "flicker 12.3 % (ground truth 4.1 %)"."""
    pictures: Mapping[str, bytes]
    """JPEG files by caption: image, mask, ground truth, stability."""


@dataclass(frozen=True)
class Card:
    """One headline figure."""

    key: str
    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Change:
    """A difference between two rows, in points."""

    points: str
    verdict: str
    """better, worse, or nothing where they do not differ."""

    @classmethod
    def between(cls, value: float | None, other: float | None, higher_is_better: bool) -> Change:
        if value is None or other is None:
            return cls(wording.NOTHING, "")
        gain = (value - other) * (1 if higher_is_better else -1)
        return cls(wording.number(value - other, "+"), "better" if gain > 0 else "worse" if gain < 0 else "")


def write_report(results: dict[str, Any], moments: Sequence[Moment], path: Path) -> None:
    """Write the page that shows an evaluation.

    Args:
        results: the contents of metrics.json; see `t2g_ros.evaluation.report.schema`.
        moments: in the order in which they are shown.
        path: of the HTML file.
    """
    # Not needed by the other commands, which start faster without.
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": wording.clock,
        "count": wording.count,
        "drawn_in": drawn_in,
        "figure_json": lambda figure: json.loads(figure.to_json()),
        "milliseconds": wording.milliseconds,
        "number": wording.number,
        "percent": wording.percent,
        "shell": shlex.join,
        "time": wording.moment_of,
    }
    page = environment.get_template("page.html.j2").render(
        **page_contents(results, moments),
        css=(FOLDER / "page.css").read_text("utf-8"),
        script=(FOLDER / "page.js").read_text("utf-8"),
        plotly=get_plotlyjs(),
    )
    path.write_text(page, "utf-8")


def page_contents(results: dict[str, Any], moments: Sequence[Moment]) -> dict[str, Any]:
    """Return what the template shows."""
    from t2g_ros.evaluation.report import charts

    series = series_of(results)
    headline = results["rows"][0]
    read = [entry for entry in results["inputs"] if entry["frames"]]
    fps = {entry["fps"] for entry in read}
    reference_frames = [row["reference_frames"] for row in results["rows"]]
    timeline_charts, more_timelines = timelines(results, series, moments)
    several_modes = len({s.mode for s in series}) > 1
    even = [s for s in series if len(s.by_stride()) > 1 or any(s.uneven())]
    settings = results["settings"]
    columns = {k: title for k, title in METRICS.items() if any(wording.known(row[k]) for row in results["rows"])}
    compared = [key for key in COMPARED if key in columns]
    return {
        "results": results,
        "headline": headline,
        "series": series,
        "keys": [*(s.key for s in series), charts.TRUTH],
        "name": wording.listing([entry["name"] for entry in read or results["inputs"]]),
        "failed": [entry for entry in results["inputs"] if not entry["frames"]],
        "whole": sum(not entry["lost"] for entry in results["inputs"]),
        "verdict": wording.verdict(headline, results["machine"]["processes"]),
        "judged": wording.known(headline["miou"]),
        "cards": headline_cards(results),
        "memory_charts": charts.memory_bars(series) if several_modes else [],
        "memory_changes": memory_changes(series, compared),
        "compared": compared,
        "rate_charts": charts.frame_rate(even, fps.pop() if len(fps) == 1 else None) if even else [],
        "reference_frames": (min(reference_frames), max(reference_frames)),
        "uneven": {
            "jitter": any(r["jitter"] for r in results["rows"]),
            "drop": any(r["drop"] for r in results["rows"]),
        },
        "corruption_charts": charts.corruptions(series),
        "robustness": [
            (s.name, each)
            for s in series
            for each in results["robustness"]
            if (each["model"], each["mode"]) == (s.model, s.mode)
        ],
        "columns": columns,
        "class_chart": charts.class_bars(series, settings["classes"], settings["colors"]),
        "timelines": timeline_charts,
        "more_timelines": more_timelines,
        "moments": [(n, moment, pictures(moment)) for n, moment in enumerate(moments, 1)],
        "swatches": list(zip(settings["classes"], settings["colors"], strict=True)),
        "calibration_charts": charts.calibration(series),
        "latency_chart": charts.latency(series),
        "definitions": definitions(settings["label_space"]),
        "mode_names": wording.MODES,
        "versions": [f"{package} {version}" for package, version in results["versions"].items() if version],
    }


def headline_cards(results: dict[str, Any]) -> list[Card]:
    """The figures of the first row that exist."""
    row = results["rows"][0]
    classes = wording.count(sum(wording.known(v) for v in row["iou"].values()), "class")
    own = {key: wording.percent(row[f"truth_{key}"]) for key in ("flicker", "flicker_compensated")}
    beside = {key: f"ground truth itself {text}" if text != wording.NOTHING else "" for key, text in own.items()}
    cards = [
        Card(key, label, wording.percent(row[key]), note)
        for key, label, note in (
            ("miou", "mIoU", f"mean over {classes}"),
            ("mvc8", "mVC8", "right throughout 8 frames"),
            ("tc", "TC", "agreement along the flow"),
            ("flicker", "Flicker", beside["flicker"] or "labels changed per frame"),
            ("flicker_compensated", "Flicker beyond motion", beside["flicker_compensated"] or "compensated by flow"),
            ("ece", "ECE", "confidence against accuracy"),
        )
        if wording.known(row[key])
    ]
    total = row["latency_ms"].get("total")
    if total:
        note = f"median; 95 % within {wording.milliseconds(total['p95'])}"
        processes = results["machine"]["processes"]
        if processes > 1:
            note += f"; {wording.count(processes, 'process')} at once"
        cards.append(Card("latency_ms", "Latency", wording.milliseconds(total["p50"]), note))
    return cards


def memory_changes(series: Sequence[Series], compared: Sequence[str]) -> list[tuple[str, list[Change]]]:
    """What the memory of each model changes in points, against each other mode of the same model."""
    several = len({s.model for s in series}) > 1
    return [
        (
            f"{memory.model if several else ''} against {wording.MODES[other.mode]}".strip(),
            [Change.between(memory.reference[key], other.reference[key], COMPARED[key]) for key in compared],
        )
        for memory in series
        for other in series
        if memory.mode == "memory" and other.mode != "memory" and memory.model == other.model
        if memory.reference and other.reference
    ]


def timelines(results: dict[str, Any], series: Sequence[Series], moments: Sequence[Moment]) -> tuple[list[Chart], int]:
    """Draw recordings under the headline's condition: those with a worst moment, then the first ones.

    Returns:
        One chart per recording, in the order of the inputs, and how many more recordings could have been drawn.
    """
    from t2g_ros.evaluation.report.timeline_chart import timeline

    condition = results["rows"][0]["condition"]
    found = [
        entry
        for entry in results["timelines"]
        if entry["condition"] == condition and any(wording.known(value) for value in entry["flicker"])
    ]
    names = list(dict.fromkeys(entry["input"] for entry in found))
    worst = {moment.input for moment in moments}
    chosen = sorted(names, key=lambda name: name not in worst)[:TIMELINES]
    charts = []
    for name in (name for name in names if name in chosen):
        entries = [
            (s, entry)
            for s in series
            for entry in found
            if (entry["input"], entry["model"], entry["mode"]) == (name, s.model, s.mode)
        ]
        charts.append(timeline(name, entries, [(n, m.time_s) for n, m in enumerate(moments, 1) if m.input == name]))
    return charts, len(names) - len(charts)


def drawn_in(keys: Sequence[Key], drawn: Sequence[Chart]) -> list[Key]:
    """Those entries of a legend that one of the charts has a trace for."""
    groups = {trace.legendgroup for chart in drawn for trace in chart.figure.data}
    return [key for key in keys if key.group in groups]


def pictures(moment: Moment) -> list[tuple[str, str]]:
    """Caption and data URI of each picture."""
    return [
        (caption, f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}")
        for caption, jpeg in moment.pictures.items()
    ]


def definitions(label_space: str) -> dict[str, str]:
    """Key of a row -> what it is, as metrics.json is documented."""
    documented = load_schema()["properties"]["rows"]["items"]["properties"]
    return {key: documented[key]["description"].replace("`settings.label_space`", label_space) for key in METRICS}
