"""The files that an engine was made of, and whether they are still what they were."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from t2g_ros.model.files import sha256


class ModelFiles:
    """Files, as they were when they were added. May be asked from any thread.

    Args:
        files: those that exist are watched.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._hashes: dict[Path, bytes] = {}
        self._same: tuple[tuple[int, ...] | None, ...] = ()
        self.add(files)

    def add(self, files: Iterable[Path]) -> None:
        """Watch more files, as they are now."""
        hashes = {file: sha256(file) for file in files if file.is_file()}
        self._hashes |= hashes
        self._same = self._statuses()

    def changed(self) -> bool:
        """Whether any of them has other contents now, or is gone. Cheap while nobody touches them."""
        statuses = self._statuses()
        if statuses == self._same:
            return False
        try:
            changed = any(sha256(file) != was for file, was in self._hashes.items())
        except OSError:
            return True
        if not changed:
            self._same = statuses  # touched, or put back
        return changed

    def _statuses(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(map(_status, self._hashes))


def _status(file: Path) -> tuple[int, ...] | None:
    """What changes with the contents of a file; None if there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
