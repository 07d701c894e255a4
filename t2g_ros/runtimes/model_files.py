"""The files that an engine was made of, and whether they are still what they were."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from t2g_ros.model.files import sha256

Status = tuple[int, ...]
"""What changes with the contents of a file."""


class ModelFiles:
    """Files, as they were when they were added. May be asked from any thread.

    Args:
        files: those that exist are watched.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._hashes: dict[Path, bytes] = {}
        self._seen: dict[Path, tuple[Status | None, bool]] = {}
        """How each file was found last, and whether it was the same."""
        self.add(files)

    def add(self, files: Iterable[Path]) -> None:
        """Watch more files, as they are now."""
        for file in files:
            status = _status(file)  # before it is read: what changes meanwhile shows
            if status is not None:
                self._hashes[file] = sha256(file)
                self._seen[file] = status, True

    def changed(self) -> bool:
        """Whether any of them has other contents now, or is gone. Reads what was touched since it was asked last."""
        return not all(map(self._is_same, list(self._hashes)))

    def _is_same(self, file: Path) -> bool:
        status = _status(file)
        seen, same = self._seen[file]
        if status != seen:
            try:
                same = status is not None and sha256(file) == self._hashes[file]
            except OSError:
                same = False
            self._seen[file] = status, same
        return same


def _status(file: Path) -> Status | None:
    """None if there is no such file."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
