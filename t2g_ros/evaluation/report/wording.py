"""How the page words figures: numbers with their units, the names of modes, and the sentences made from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

NOTHING = "–"
"""Stands where there is nothing to show."""

MODES = {
    "memory": "with memory",
    "single_frame": "frame by frame",
    "ema_0.5": "average 0.5",
    "flow_ema_0.5": "average along flow 0.5",
    "flow_ema_0.8": "average along flow 0.8",
}


def known(value: float | None) -> bool:
    """Whether there is a value: neither null nor nan."""
    return value is not None and value == value


def number(value: float | None, sign: str = "") -> str:
    """Three significant digits at most, two decimals at most; `sign` is "+" to show the sign of a difference."""
    if value is None or value != value:
        return NOTHING
    text = f"{value:{sign}.{1 if abs(value) >= 10 else 2}f}"
    return text.replace("-", "−")


def unit(value: float | None, name: str) -> str:
    """A number that does not part from its unit at the end of a line."""
    return f"{number(value)}\u00a0{name}" if known(value) else NOTHING


def percent(value: float | None) -> str:
    """A share in percent."""
    return unit(value, "%")


def milliseconds(value: float | None) -> str:
    """A time in milliseconds."""
    return unit(value, "ms")


def clock(seconds: float) -> str:
    """A time in a recording: 4.2 s, or 2 min 4.2 s."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes:.0f}\u00a0min " if minutes else "") + f"{rest:.1f}\u00a0s"


def moment_of(created: str) -> str:
    """2026-11-23 18:57 UTC from ISO 8601."""
    # Python 3.10 does not read the Z.
    when = datetime.fromisoformat(created.replace("Z", "+00:00"))
    return when.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def listing(words: Sequence[str], most: int = 3) -> str:
    """a, b and c; of more than `most` words, the first ones and how many more."""
    shown = list(words) if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def count(n: int, noun: str) -> str:
    """1 class, 2 classes; 12,000 masks."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{n:,}\u00a0{noun if n == 1 else plural}"


def verdict(row: dict[str, Any], processes: int) -> str:
    """One sentence that says what the headline row says, measured by that many processes at once."""
    classes = sum(known(v) for v in row["iou"].values())
    says = []
    if known(row["miou"]):
        says.append(f"{row['model']} reaches {percent(row['miou'])} mIoU over {count(classes, 'class')}")
    for key, how in (("flicker_compensated", " beyond motion"), ("flicker", "")):
        if known(row[key]):
            own = row[f"truth_{key}"]
            beside = f" (the ground truth itself by {percent(own)})" if known(own) else ""
            whose = "its masks" if says else f"the masks of {row['model']}"
            says.append(f"{whose} flicker by {percent(row[key])}{how}{beside}")
            break
    if "total" in row["latency_ms"]:
        shared = f" with {count(processes, 'process')} at once" if processes > 1 else ""
        says.append(f"a frame takes {milliseconds(row['latency_ms']['total']['p50'])}{shared}")
    sentence = listing(says) if says else f"nothing could be measured of {row['model']}"
    # Only the sentence's own first word, not a model's name.
    return (sentence if sentence.startswith(row["model"]) else sentence[0].upper() + sentence[1:]) + "."
