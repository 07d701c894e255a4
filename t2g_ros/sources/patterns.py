"""Recordings named by patterns such as `runs/*.mcap`, for shells and launchers that leave patterns alone."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from t2g_ros.errors import InputError
from t2g_ros.sources.natural import natural_key

BAG_FILES = (".mcap", ".db3", ".bag")
METADATA = "metadata.yaml"


def expand_bags(patterns: Sequence[Path]) -> list[Path]:
    """Return the bags that the paths and patterns name, those of a pattern in natural order, each once.

    A rosbag2 folder and the files in it are one recording: the files go.

    Raises:
        InputError: a pattern matches no bag.
    """
    found = _expand(patterns, _is_bag, "rosbag2 folder, .mcap, .db3 or .bag file")
    # A folder without metadata.yaml is taken as one recording unless its files are named too.
    folders = {path.resolve() for path in found if path.is_dir()}
    named = {path.resolve().parent for path in found if path.is_file()}
    whole = {folder for folder in folders if (folder / METADATA).is_file() or folder not in named}
    return [
        path for path in found if (path.resolve() in whole if path.is_dir() else path.resolve().parent not in whole)
    ]


def expand_folders(patterns: Sequence[Path]) -> list[Path]:
    """Return the folders that the paths and patterns name, as `expand_bags` does; `images/` belongs to its parent."""
    found = _expand(patterns, Path.is_dir, "folder")
    resolved = {path.resolve() for path in found}
    return [path for path in found if not (path.name in ("images", "labels") and path.resolve().parent in resolved)]


def expand_files(patterns: Sequence[Path]) -> list[Path]:
    """Return the files that the paths and patterns name, as `expand_bags` does."""
    return _expand(patterns, Path.is_file, "file")


def _is_bag(path: Path) -> bool:
    if path.is_dir():
        return (path / METADATA).is_file() or any(file.suffix in BAG_FILES for file in path.iterdir())
    return path.suffix in BAG_FILES


def _expand(patterns: Iterable[Path], is_one: Callable[[Path], bool], what: str) -> list[Path]:
    found: dict[Path, Path] = {}
    for pattern in patterns:
        if pattern.exists() or not glob.has_magic(str(pattern)):
            matches = [pattern]  # one that does not exist is told by its reader
        else:
            matches = [path for path in map(Path, glob.glob(str(pattern), recursive=True)) if is_one(path)]
            matches.sort(key=lambda path: ([natural_key(Path(part)) for part in path.parts], str(path)))
            if not matches:
                raise InputError(f"{pattern}: matches no {what}")
        for match in matches:
            found.setdefault(match.resolve(), match)
    return list(found.values())
