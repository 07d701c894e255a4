"""Public driving data sets in their official layouts, one source per sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from t2g_ros.errors import InputError
from t2g_ros.sources.base import Source
from t2g_ros.sources.datasets import apolloscape, camvid, cityscapes, kitti360
from t2g_ros.sources.datasets.base import DatasetSource

__all__ = ["DATASETS", "DatasetSource", "list_sequences", "open_dataset", "open_sequence"]

DATASETS: dict[str, Callable[[Path], list[DatasetSource]]] = {
    "cityscapes": cityscapes.sequences,
    "kitti360": kitti360.sequences,
    "apolloscape": apolloscape.sequences,
    "camvid11": camvid.sequences11,
    "camvid32": camvid.sequences32,
}
_LISTED = 10


def open_dataset(kind: str, root: Path, sequence: str | None = None) -> list[Source]:
    """Return the sequences of a data set, or the one of that name.

    Args:
        kind: a key of `DATASETS`.
        root: the folder that holds the data set's own top folders.
        sequence: one of `list_sequences(kind, root)`; None opens all.

    Raises:
        InputError: the kind or sequence is unknown, or the layout is not the official one; the message names the
            path that was looked for.
    """
    found = _sequences(kind, root)
    if sequence is None:
        return [*found]
    chosen: list[Source] = [source for source in found if source.sequence == sequence]
    if not chosen:
        raise InputError(f"{kind} {root}: no sequence '{sequence}'; it has {_names(found)}")
    return chosen


def open_sequence(kind: str, root: Path, sequence: str | None = None) -> Source:
    """Return the sequence of that name, or the only one.

    Raises:
        InputError: as `open_dataset`, or there are several to choose from; the message names them.
    """
    if sequence is not None:
        return open_dataset(kind, root, sequence)[0]
    found = _sequences(kind, root)
    if len(found) > 1:
        raise InputError(f"{kind} {root}: say with --sequence which to read; it has {_names(found)}")
    return found[0]


def list_sequences(kind: str, root: Path) -> list[str]:
    """Return the names of a data set's sequences, in the order in which `open_dataset` returns them.

    Raises:
        InputError: as `open_dataset`.
    """
    return [source.sequence for source in _sequences(kind, root)]


def _names(found: list[DatasetSource]) -> str:
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(source.sequence for source in found[:_LISTED]) + more


def _sequences(kind: str, root: Path) -> list[DatasetSource]:
    try:
        reader = DATASETS[kind]
    except KeyError:
        raise InputError(f"unknown data set '{kind}'; known: {', '.join(DATASETS)}") from None
    if not root.is_dir():
        raise InputError(f"{kind} {root}: not a folder")
    return reader(root)
