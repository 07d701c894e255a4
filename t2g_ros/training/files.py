"""Files that are whole at every moment: a kill, or a full disk, leaves the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is written there takes the place of `path` once it is complete and on the disk.

    If writing fails, what there is of the new file is removed and the old one stays.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
