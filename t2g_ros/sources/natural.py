"""The order in which people number files."""

from __future__ import annotations

import re
from pathlib import Path


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key that puts `frame_2` before `frame_10`."""
    parts = re.split(r"(\d+)", path.stem)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]
