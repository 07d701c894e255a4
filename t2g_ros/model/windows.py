"""The windows in which pixels read the memory: their sizes, and the cutting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 8
"""Pixels from one token to the next."""
WINDOW = 4, 8
"""Rows and columns of the windows whose tokens share their keys, in tokens. A road moves sideways more than up."""
HALO = WINDOW[0] // 2, WINDOW[1] // 2
"""Tokens by which the keys reach beyond the window on every side: the motion that can be followed."""
REACH = 2 * WINDOW[0], 2 * WINDOW[1]


def windows(tokens: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, W, m, C): disjoint windows of m = 4 x 8 tokens."""
    rows = tokens.permute(0, 2, 3, 1).unflatten(1, (-1, WINDOW[0])).unflatten(3, (-1, WINDOW[1]))
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def joined(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, W, m, C) -> (B, C, h, w): what `windows` cut."""
    rows = tokens.unflatten(1, (size[0] // WINDOW[0], -1)).unflatten(3, WINDOW)
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def seen(tokens: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, W, n, C): what the windows see, their halo included; the border repeats beyond the image."""
    from torch import cat
    from torch.nn.functional import pad

    padded = pad(tokens, (HALO[1], HALO[1], HALO[0], HALO[0]), mode="replicate")
    # A window sees two blocks each way and the next one starts a block later: slices that every engine knows.
    # Channels go last before that, so that whole runs of tokens are copied.
    blocks = padded.permute(0, 2, 3, 1).unflatten(1, (-1, WINDOW[0])).unflatten(3, (-1, WINDOW[1]))
    blocks = cat([blocks[:, :-1], blocks[:, 1:]], dim=2)
    blocks = cat([blocks[:, :, :, :-1], blocks[:, :, :, 1:]], dim=4)  # (B, rows, 8, columns, 16, C)
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)
