"""One sequence of a data set as a source, and what the readers of the layouts share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.labels import RAW_IDS, LabelSpace
from t2g_ros.sources.base import Losses, Source, SourceFrame
from t2g_ros.sources.images import check_label_size, read_ids, read_labelled, read_rgb
from t2g_ros.types import NS_PER_S, Frame


@dataclass(frozen=True)
class LabelFormat:
    """How label files become ids of a label space."""

    space: LabelSpace
    read: Callable[[Path], np.ndarray]
    """Returns (H, W) uint8 ids of `space`, 255 = void; raises ValueError for what the data set does not define."""


def id_format(name: str) -> LabelFormat:
    """Return the format of files that hold the raw ids `RAW_IDS[name]`."""
    raw_ids = RAW_IDS[name]
    return LabelFormat(raw_ids.space, lambda path: raw_ids.to_space(read_ids(path)))


@dataclass(frozen=True, slots=True)
class DatasetFrame:
    """Where one frame lies and when it was taken."""

    image: Path
    stamp_ns: int
    labels: Path | None


class DatasetSource(Source):
    """The frames of one sequence in the order given, with labels where the data set has some.

    Args:
        root: the data set's root.
        sequence: name of the sequence, unique under the root.
        frames: at least one.
        labels: format of the label files.
        labels_at: where labels were looked for; the user is told so where there are none.
        fps: nominal rate, used where a single frame does not show one.
    """

    def __init__(
        self,
        root: Path,
        sequence: str,
        frames: Sequence[DatasetFrame],
        *,
        labels: LabelFormat,
        labels_at: Path,
        fps: float | None = None,
    ) -> None:
        super().__init__()
        self.path = root
        self.sequence = sequence
        self.frames = tuple(frames)
        self._format = labels
        self.count = len(self.frames)
        span_ns = self.frames[-1].stamp_ns - self.frames[0].stamp_ns
        self.fps = (self.count - 1) * NS_PER_S / span_ns if span_ns > 0 else fps
        if any(frame.labels for frame in self.frames):
            self.label_space = labels.space
        else:
            self.assumptions = (f"{sequence}: no frame has labels; looked for them at {labels_at}",)

    def _read(self, keep: Callable[[int], bool], losses: Losses) -> Iterator[SourceFrame]:
        for index, item in enumerate(self.frames):
            if not keep(index):
                continue
            read = read_labelled(item.image, item.labels, self._read_labels, losses)
            if read is not None:
                rgb, labels = read
                yield SourceFrame(Frame(rgb, item.stamp_ns), item.image.stem, labels, index)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the pixels and labels of one frame, as of `SourceFrame`.

        Raises:
            InputError: a file cannot be decoded, or the labels are not those of the image.
        """
        rgb, labels = read_rgb(self.frames[index].image), self.labels(index)
        path = self.frames[index].labels
        if path is not None and labels is not None:
            check_label_size(path, labels, (rgb.shape[0], rgb.shape[1]))
        return rgb, labels

    def labels(self, index: int) -> np.ndarray | None:
        """Return one frame's (H, W) uint8 ids of the label space, 255 = void; None where it has no labels.

        Raises:
            InputError: they cannot be decoded, or are not the official files.
        """
        path = self.frames[index].labels
        return None if path is None else self._read_ids(path)

    def _read_labels(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        labels = self._read_ids(path)
        check_label_size(path, labels, size)
        return labels

    def _read_ids(self, path: Path) -> np.ndarray:
        try:
            return self._format.read(path)
        except ValueError as error:
            raise InputError(f"labels {path}: {error}; expected the official files, not remapped ones") from error

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self.sequence

    def _files(self) -> Iterable[Path]:
        return [path for item in self.frames for path in (item.image, item.labels) if path is not None]


def subfolder(dataset: str, path: Path) -> Path:
    """Return the path; raises `InputError` that names it where it is no folder."""
    if not path.is_dir():
        raise InputError(f"{dataset}: no folder {path}; is the root right and the layout the official one?")
    return path


def folders(dataset: str, parent: Path, *patterns: str) -> list[Path]:
    """Return the folders in `parent` of these patterns, sorted; raises `InputError` where there are none."""
    subfolder(dataset, parent)
    found = sorted(path for pattern in patterns for path in parent.glob(pattern) if path.is_dir())
    if not found:
        looked_for = " or ".join(str(parent / pattern) for pattern in patterns)
        raise InputError(f"{dataset}: no folder {looked_for}; is the root right and the layout the official one?")
    return found


def matching_files(dataset: str, folder: Path, name: re.Pattern[str], example: str) -> list[tuple[Path, re.Match[str]]]:
    """Return the image files of a folder with the match of their names, sorted by name.

    Raises:
        InputError: there is none, or one of the suffix of `example` is named otherwise.
    """
    suffix = Path(example).suffix
    found = []
    for path in sorted(subfolder(dataset, folder).glob(f"*{suffix}")):
        match = name.fullmatch(path.name)
        if match is None:
            raise InputError(f"{dataset}: {path} is not named like {example}")
        found.append((path, match))
    if not found:
        raise InputError(f"{dataset}: no {folder / f'*{suffix}'}; expected images named like {example}")
    return found


def files_by_name(folder: Path) -> dict[str, Path]:
    """Return the files of a folder, none where it does not exist: one listing is cheaper than a look per frame."""
    return {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}


def stamp_at(frame_number: int, fps: float) -> int:
    """Return the nanoseconds after frame 0 of a recording of an even rate."""
    return round(frame_number * NS_PER_S / fps)
