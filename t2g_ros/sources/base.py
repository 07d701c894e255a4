"""What every source of recorded frames offers, whatever it reads from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2g_ros.labels import LabelSpace
from t2g_ros.types import Frame

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One recorded frame, with its ground truth where there is one."""

    frame: Frame
    name: str
    """Name for what is made from this frame: the file's stem, or the recorded stamp in nanoseconds."""
    labels: np.ndarray | None = None
    """(H, W) uint8 ids of the source's label space, 255 = void."""
    index: int = 0
    """Position in the recording; frames that cannot be decoded count too."""


class Losses:
    """What of a recording could not be read, counted by cause: a long recording gives few sentences."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, cause: str, where: str) -> None:
        """Count one loss; of each cause the first place is kept."""
        self._counts[cause] = self._counts.get(cause, 0) + 1
        self._first.setdefault(cause, where)

    def sentences(self) -> list[str]:
        """Return one sentence per cause, in the order in which the causes were first met."""
        return [
            f"{cause}: {self._first[cause]}" if count == 1 else f"{cause}, {count} times: first {self._first[cause]}"
            for cause, count in self._counts.items()
        ]


class Source(ABC):
    """Recorded frames in the order in which they were taken; every `iter()` and `read()` starts at the first one.

    Files are decoded one at a time, so the length of a recording costs no memory. What a recorder, a disk or a wire
    has damaged is left out and told in `losses`; reading raises `InputError` where labels do not fit their image or
    their label space.
    """

    path: Path
    count: int | None = None
    """Number of frames; None where the file does not say."""
    fps: float | None = None
    """Frames per second, the mean where they are not evenly spaced; None where it is unknown."""
    label_space: LabelSpace | None = None
    """What the label ids mean; None without labels."""
    camera: str = "/camera"
    """Namespace of the camera in ROS; a usual one where the recording does not say."""
    assumptions: tuple[str, ...] = ()
    """Sentences for the user: what was assumed because nothing said it."""

    def __init__(self) -> None:
        self._losses = Losses()

    @property
    def name(self) -> str:
        """Name of the recording for people: of its file, folder or sequence."""
        return self.path.stem

    def read(self, keep: Callable[[int], bool] = lambda index: True) -> Iterator[SourceFrame]:
        """Return the frames whose index `keep` wants, in order.

        The others are not decoded, except by a video, whose frames build on each other. `keep` is asked once per
        frame, in order.
        """
        self._losses = Losses()
        return self._read(keep, self._losses)

    def __iter__(self) -> Iterator[SourceFrame]:
        return self.read()

    @property
    def losses(self) -> list[str]:
        """Sentences on what the latest `read` has met so far and could not read, one per cause."""
        return self._losses.sentences()

    @abstractmethod
    def _read(self, keep: Callable[[int], bool], losses: Losses) -> Iterator[SourceFrame]: ...

    @abstractmethod
    def _files(self) -> Iterable[Path]:
        """Return every file that the frames come from, in a fixed order."""

    def __len__(self) -> int:
        """Return the number of frames; raises TypeError where it is unknown, which `list` and `tqdm` understand."""
        if self.count is None:
            raise TypeError(f"{self.path}: the file does not say how many frames it holds")
        return self.count

    def content_hash(self) -> str:
        """Return the SHA-256 over the names and bytes of all files; the folder's own name does not enter it."""
        root = self.path if self.path.is_dir() else self.path.parent
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        return digest.hexdigest()
