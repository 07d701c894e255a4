"""The rows of an evaluation as series: what is drawn in one colour, and named once, throughout the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from t2g_ros.evaluation.report.wording import MODES

Row = dict[str, Any]

# The first six from Okabe and Ito's palette ("Color Universal Design", 2008), which is told apart with any colour
# vision; its light colours are darkened, so that each has a contrast of 3 against white and against the dark page. The
# others are as far as possible from those before them under that condition.
COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#C2699C", "#A87800", "#6B6FD1"),
    *("#F828F8", "#407000", "#8028F8", "#B81888", "#985858", "#F84868"),
)
TRUTH_COLOR = "#808890"
DASHES = {
    "memory": "solid",
    "single_frame": "dash",
    "ema_0.5": "dot",
    "flow_ema_0.5": "dashdot",
    "flow_ema_0.8": "longdash",
}
# By model; as many as have no divisor in common with the colours, so that the two do not repeat together.
SYMBOLS = ("circle", "square", "diamond", "cross", "pentagon", "star", "hourglass")


@dataclass(frozen=True)
class Key:
    """One entry of a legend; a click on it shows or hides the traces of its group."""

    group: str
    name: str
    color: str
    dash: str = "solid"
    symbol: str | None = None
    """Marker on the line, by plotly's name; None for a bare line."""
    shown: bool = True


@dataclass(frozen=True)
class Series:
    """The rows of one model in one mode."""

    group: str
    """Identifies it within the page."""
    model: str
    mode: str
    name: str
    """For people: only as much as tells it from the others."""
    color: str
    symbol: str
    """Marker on its lines, by plotly's name."""
    rows: list[Row]
    reference: Row | None
    """The row under the condition of the headline."""

    @property
    def dash(self) -> str:
        return DASHES[self.mode]

    @property
    def key(self) -> Key:
        return Key(self.group, self.name, self.color, self.dash, self.symbol)

    def by_stride(self) -> list[Row]:
        """The rows with even gaps and nothing corrupted, by stride."""
        even = [r for r in self.rows if not r["jitter"] and not r["drop"] and r["corruption"] is None]
        return sorted(even, key=lambda r: r["stride"])

    def uneven(self) -> Iterator[Row]:
        """The rows with jitter or with dropped frames."""
        return (r for r in self.rows if (r["jitter"] or r["drop"]) and r["corruption"] is None)

    def by_severity(self, family: str) -> list[Row]:
        """The rows of one family of corruptions by severity, without it first."""
        corrupted = sorted((r for r in self.rows if r["corruption"] == family), key=lambda r: r["severity"])
        return [self.reference, *corrupted] if corrupted and self.reference else corrupted


def series_of(results: dict[str, Any]) -> list[Series]:
    """Group the rows by model and mode, in the order in which they come."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in results["rows"]:
        groups.setdefault((row["model"], row["mode"]), []).append(row)
    models = list(dict.fromkeys(model for model, _ in groups))
    one_model = len(models) == 1
    one_mode = len({mode for _, mode in groups}) == 1
    condition = results["rows"][0]["condition"]
    series = []
    for n, ((model, mode), rows) in enumerate(groups.items()):
        name = model if one_mode else MODES[mode] if one_model else f"{model}, {MODES[mode]}"
        reference = next((r for r in rows if r["condition"] == condition), None)
        color, symbol = COLORS[n % len(COLORS)], SYMBOLS[models.index(model) % len(SYMBOLS)]
        series.append(Series(f"s{n}", model, mode, name, color, symbol, rows, reference))
    return series
