"""The windows in which pixels read the memory: their sizes, and the cutting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 8
"""Pixels from one token to the next."""
WINDOW = 4, 8
"""Rows and columns of the windows whose tokens share their keys, in tokens. A road moves sideways more than up."""
HALO = 1, 2
"""Tokens by which the keys reach beyond the window on every side: the motion from frame to frame that can be followed.
With twice as much the attention took 3.6 ms instead of 2.6, for less than a tenth of a point of mIoU at 15 Hz."""
REACH = WINDOW[0] + 2 * HALO[0], WINDOW[1] + 2 * HALO[1]
"""Rows and columns of the tokens that a window sees."""


def windows(tokens: Tensor) -> Tensor:
    """(B, h, w, C) -> (B, W, m, C): disjoint windows of m = 4 x 8 tokens."""
    rows = tokens.unflatten(1, (-1, WINDOW[0])).unflatten(3, (-1, WINDOW[1]))
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def joined(tokens: Tensor, rows: int) -> Tensor:
    """(B, W, m, C) -> (B, h, w, C): what `windows` cut, in so many rows of windows."""
    return tokens.unflatten(1, (rows, -1)).unflatten(3, WINDOW).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def seen(tokens: Tensor, rows: int) -> Tensor:
    """(B, W, m, C) -> (B, W, n, C): what the windows see, their halo included; the border repeats beyond the image."""
    blocks = tokens.unflatten(1, (rows, -1)).unflatten(3, WINDOW)  # (B, rows, columns, 4, 8, C)
    for axis, halo in zip((1, 2), HALO, strict=True):
        blocks = _with_halo(blocks, axis, halo)
    return blocks.flatten(3, 4).flatten(1, 2)


def _with_halo(blocks: Tensor, axis: int, halo: int) -> Tensor:
    """Lay beside every block that much of its two neighbours along an axis of blocks; `axis + 2` is that of tokens."""
    from torch import cat

    def part(of: slice, tokens: slice) -> Tensor:
        return blocks[(*(slice(None),) * axis, of, slice(None), tokens)]

    def border(of: slice, tokens: slice) -> Tensor:
        return cat([part(of, tokens)] * halo, dim=axis + 2)

    first, last = slice(0, 1), slice(-1, None)
    before = cat([border(first, first), part(slice(0, -1), slice(-halo, None))], dim=axis)
    after = cat([part(slice(1, None), slice(0, halo)), border(last, last)], dim=axis)
    return cat([before, blocks, after], dim=axis + 2)
