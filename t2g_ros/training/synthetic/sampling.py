"""Where to shade: once per pixel, but four times in pixels that an edge runs through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """The points to shade of one image, and the way back from their colours to the image."""

    numbers: NDArray[np.intp]
    """(n,) surface under each sample."""
    x: F32
    """(n,) in pixels of the image; `y` likewise."""
    y: F32
    size: tuple[int, int]
    _inner: NDArray[np.intp]
    _edges: NDArray[np.intp]

    @classmethod
    def of(cls, buffer: NDArray[np.int32]) -> Samples:
        """Choose samples for a buffer of surface numbers with 2 x 2 numbers per pixel."""
        quads = [np.ascontiguousarray(buffer[j::2, i::2]) for j in range(2) for i in range(2)]
        edge = (quads[0] != quads[1]) | (quads[0] != quads[2]) | (quads[0] != quads[3])
        inner, edges = np.flatnonzero(~edge), np.flatnonzero(edge)
        numbers = np.concatenate([quads[0].ravel()[inner], *(q.ravel()[edges] for q in quads)]).astype(np.intp)
        row, column = np.divmod(inner.astype(np.int32), edge.shape[1])
        edge_row, edge_column = np.divmod(edges.astype(np.int32), edge.shape[1])
        x = np.concatenate([column + 0.5, *(edge_column + d for d in (0.25, 0.75, 0.25, 0.75))])
        y = np.concatenate([row + 0.5, *(edge_row + d for d in (0.25, 0.25, 0.75, 0.75))])
        return cls(numbers, x.astype(np.float32), y.astype(np.float32), edge.shape, inner, edges)

    def image(self, values: F32) -> F32:
        """Return (h, w) from the (n,) values of the samples; a pixel on an edge is the mean of its four."""
        out = np.empty(self.size[0] * self.size[1], np.float32)
        count = len(self._inner)
        out[self._inner] = values[:count]
        out[self._edges] = values[count:].reshape(4, -1).mean(axis=0)
        return out.reshape(self.size)
