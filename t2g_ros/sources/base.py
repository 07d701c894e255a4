"""What every source of recorded frames offers, whatever it reads from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
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


class Source(ABC):
    """Recorded frames in the order in which they were taken; every `iter()` starts at the first one.

    Files are decoded one at a time, so the length of a recording costs no memory. Iterating raises `InputError`
    where something cannot be decoded.
    """

    path: Path
    count: int | None = None
    """Number of frames; None where the file does not say."""
    fps: float | None = None
    """Frames per second, the mean where they are not evenly spaced; None where it is unknown."""
    label_space: LabelSpace | None = None
    """What the label ids mean; None without labels."""
    assumptions: tuple[str, ...] = ()
    """Sentences for the user: what was assumed because nothing said it."""

    @abstractmethod
    def __iter__(self) -> Iterator[SourceFrame]: ...

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
