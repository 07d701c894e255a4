"""The pixel memory: every pixel of the segmented frame reads its surroundings in all cached frames.

Queries that are shared by a clip cannot be steadier than the pixel features they are multiplied with; what
flickers are the features. So these read the memory too: attention inside a window, over space and time, as in
non-local means for video. It follows motion of some tens of pixels without flow, and averages noise away where
neighbours agree. Not in the paper.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.model.time_embedding import TimeEmbedding

WINDOW = 8
"""Side of the windows whose pixels share their keys, in tokens."""
HALO = 4
"""Tokens by which the keys reach beyond the window on every side: the motion that can be followed."""
REACH = WINDOW + 2 * HALO
SUB = 2
"""A token lies at stride 8 and holds the values of its 2 x 2 stride-4 pixels, so that thin things survive reading."""
LARGEST_LOG_SHARPNESS = math.log(30.0)


class PixelMemory(nn.Module):
    """The keys and values that a frame leaves in the memory, and how a later frame reads them.

    Args:
        width: channels d of the mask features.
        key_width: channels dk of the keys; keys are unit vectors, and a token's key is also its query.
        value_width: channels dv of the values of one stride-4 pixel.
        timed: whether the age of a frame matters.
    """

    distance: Tensor

    def __init__(self, width: int, key_width: int, value_width: int, *, timed: bool = True) -> None:
        super().__init__()
        self.key = nn.Conv2d(width, key_width, SUB, stride=SUB)
        self.value = nn.Conv2d(width, value_width, 1)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(8.0)))
        self.log_falloff = nn.Parameter(torch.tensor(math.log(0.05)))
        self.time = TimeEmbedding(2) if timed else None
        self.gate = nn.Conv2d(2 * value_width, value_width, 1)
        self.write = nn.Linear(value_width, width, bias=False)
        nn.init.zeros_(self.write.weight)  # untrained, the memory changes nothing
        self.register_buffer("distance", _squared_distances(), persistent=False)

    def _tokens(self, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H/4, W/4, d) -> keys (B, dk, H/8, W/8) and values (B, 4 dv, H/8, W/8)."""
        pixels = mask_features.permute(0, 3, 1, 2)
        keys = F.normalize(self.key(pixels), dim=1, eps=1e-4)
        return keys, F.pixel_unshuffle(self.value(pixels), SUB)

    def remember(self, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """What a frame leaves in the memory: what each of the W windows sees of it, n = 16 x 16 tokens.

        Args:
            mask_features: (B, H/4, W/4, d).

        Returns:
            Keys (B, W, n, dk) and values (B, W, n, 4 dv).
        """
        keys, values = self._tokens(mask_features)
        return _seen(keys), _seen(values)

    def read(self, mask_features: Tensor, keys: Tensor, values: Tensor, offsets_s: Tensor, valid: Tensor) -> Tensor:
        """Return the mask features of the segmented frame after its pixels read the memory.

        Args:
            mask_features: (B, H/4, W/4, d) of the segmented frame.
            keys, values: (B, T, W, n, dk) and (B, T, W, n, 4 dv) of all frames in memory, that frame among them.
            offsets_s: (B, T) seconds relative to the segmented frame.
            valid: (B, T), 1 where the slot holds a frame.
        """
        own_keys, own_values = self._tokens(mask_features)
        queries = _windows(own_keys) * self.log_sharpness.clamp(max=LARGEST_LOG_SHARPNESS).exp()  # (B, W, m, dk)
        nothing = torch.zeros_like(valid)
        weight, spread = (nothing, nothing) if self.time is None else self.time(offsets_s).unbind(-1)  # (B, T)
        falloff = (self.log_falloff + spread).exp()  # what is longer ago lies further away
        # Finite, because bf16 engines dislike -inf.
        weight = weight.clamp(-10.0, 10.0) + (valid - 1.0) * 1e4
        bias = weight[..., None, None] - falloff[..., None, None] * self.distance  # (B, T, m, n)
        # Unit keys bound the logits, so this softmax over all frames and tokens needs no maximum.
        weights = (queries[:, None] @ keys.transpose(-1, -2) + bias[:, :, None]).exp()  # (B, T, W, m, n)
        read = (weights @ values).sum(dim=1) / (weights.sum(dim=(1, 4))[..., None] + 1e-12)  # (B, W, m, 4 dv)
        remembered = F.pixel_shuffle(_joined(read, (own_values.shape[-2], own_values.shape[-1])), SUB)
        present = F.pixel_shuffle(own_values, SUB)
        gate = torch.sigmoid(self.gate(torch.cat([present, remembered], dim=1)))
        return mask_features + self.write((gate * (remembered - present)).permute(0, 2, 3, 1))


def _windows(tokens: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, W, m, C): disjoint windows of m = 8 x 8 tokens."""
    rows = tokens.permute(0, 2, 3, 1).unflatten(1, (-1, WINDOW)).unflatten(3, (-1, WINDOW))
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _joined(windows: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, W, m, C) -> (B, C, h, w): what `_windows` cut."""
    rows = windows.unflatten(1, (size[0] // WINDOW, -1)).unflatten(3, (WINDOW, WINDOW))
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _seen(tokens: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, W, n, C): what the windows see, their halo included; the border repeats beyond the image."""
    padded = F.pad(tokens, (HALO, HALO, HALO, HALO), mode="replicate")
    # A window sees two blocks each way and the next one starts a block later: slices that every engine knows.
    # Channels go last before that, so that whole runs of tokens are copied.
    blocks = padded.permute(0, 2, 3, 1).unflatten(1, (-1, WINDOW)).unflatten(3, (-1, WINDOW))
    blocks = torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=2)
    blocks = torch.cat([blocks[:, :, :, :-1], blocks[:, :, :, 1:]], dim=4)  # (B, rows, 16, columns, 16, C)
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _squared_distances() -> Tensor:
    """(m, n) squared distances in tokens between a window's tokens and all that it sees."""
    side = torch.arange(REACH, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), dim=-1)  # (16, 16, 2)
    inner = grid[HALO : HALO + WINDOW, HALO : HALO + WINDOW].reshape(-1, 1, 2)
    return (inner - grid.reshape(-1, 2)).square().sum(dim=-1)
