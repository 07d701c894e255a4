"""The pixel memory: every pixel of the segmented frame reads its surroundings in all cached frames.

Queries that are shared by a clip cannot be steadier than the pixel features they are multiplied with; what
flickers are the features. So these read the memory too: attention inside a window, over space and time, as in
non-local means for video. It follows motion of some tens of pixels without flow, and averages noise away where
neighbours agree. What a frame's pixels became by reading can stay in the memory in place of what they were, so that
the average is over all frames before, as in recursive filters, and not over those of the clip. Not in the paper.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.model.time_embedding import TimeEmbedding
from t2g_ros.model.windows import HALO, REACH, WINDOW, joined, seen, windows

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
    pixels: Tensor

    def __init__(self, width: int, key_width: int, value_width: int, *, timed: bool = True) -> None:
        super().__init__()
        self.key = nn.Conv2d(width, key_width, SUB, stride=SUB)
        self.value = nn.Conv2d(width, value_width, 1)
        # How choosy a token is depends on what it shows: of a road everything around is a good neighbour, of a thin
        # pole hardly anything is, and all the background together would outweigh it.
        self.sharpness = nn.Conv2d(width, 1, SUB, stride=SUB)
        nn.init.zeros_(self.sharpness.weight)
        self.sharpness.bias = nn.Parameter(torch.full((1,), math.log(8.0)))
        self.log_falloff = nn.Parameter(torch.tensor(math.log(0.05)))
        self.time = TimeEmbedding(2) if timed else None
        self.gate = nn.Conv2d(2 * value_width, value_width, 1)
        self.write = nn.Linear(value_width, width, bias=False)
        nn.init.zeros_(self.write.weight)  # untrained, the memory changes nothing
        self.register_buffer("distance", _squared_distances(), persistent=False)
        self.register_buffer("pixels", torch.eye(SUB**2), persistent=False)  # of a token, each apart

    def remember(self, mask_features: Tensor) -> dict[str, Tensor]:
        """What of a frame the reading needs.

        Args:
            mask_features: (B, d, H/4, W/4).

        Returns:
            `pixel_queries` (B, W, m, dk), by which the m = 4 x 8 tokens of the W windows look for their like;
            `pixel_present` (B, W, m, 4 dv), the values of their pixels; and what the windows see of the frame, n = 8 x
            16 tokens each: `pixel_keys` (B, W, n, dk) and `pixel_values` (B, W, n, 4 dv).
        """
        # In one convolution, since engines take as long to go through the map for one channel as for all.
        weight, bias = (
            torch.cat([getattr(conv, of) for conv in (self.key, self.sharpness)]) for of in ("weight", "bias")
        )
        keys, sharpness = F.conv2d(mask_features, weight, bias, SUB).split([self.key.out_channels, 1], dim=1)
        keys = F.normalize(keys, dim=1, eps=1e-4)  # (B, dk, H/8, W/8)
        queries = keys * sharpness.clamp(max=LARGEST_LOG_SHARPNESS).exp()
        present = windows(_tokens(self.value(mask_features)))
        rows = int(keys.shape[-2]) // WINDOW[0]
        return {
            "pixel_queries": windows(queries.permute(0, 2, 3, 1)),
            "pixel_present": present,
            "pixel_keys": seen(windows(keys.permute(0, 2, 3, 1)), rows),
            "pixel_values": seen(present, rows),
        }

    def written_back(self, present: Tensor, change: Tensor, rows: int) -> Tensor:
        """Return the `pixel_values` (B, W, n, 4 dv) of a frame whose pixels stay as what they became by reading.

        Where the change is not a number, they stay as they were.

        Args:
            present: (B, W, m, 4 dv) of the frame.
            change: (B, W, m, 4 dv), which `read` returned for it.
            rows: of windows.
        """
        # What is no number would never leave the memory again.
        return seen(present + change.masked_fill(change.isnan(), 0.0), rows)

    def read(self, queries: Tensor, present: Tensor, keys: Tensor, values: Tensor, *when: Tensor) -> Tensor:
        """Return by what the values of the segmented frame's pixels change when they read the memory.

        Args:
            queries: (B, W, m, dk) of the segmented frame.
            present: (B, W, m, 4 dv) of the segmented frame.
            keys: (B, T, W, n, dk) of all frames in memory, that frame among them.
            values: (B, T, W, n, 4 dv) of all frames in memory.
            when: seconds (B, T) relative to the segmented frame, and (B, T), 1 where the slot holds a frame.

        Returns:
            (B, W, m, 4 dv).
        """
        logits = queries @ keys.transpose(1, 2).flatten(2, 3).transpose(-1, -2) + self._bias(*when)[:, None]
        # One softmax over the tokens of all frames, in the form that engines fuse with both products.
        remembered = torch.softmax(logits, dim=-1) @ values.transpose(1, 2).flatten(2, 3)
        # The gate's convolution for all pixels of a token at once: engines are slow at products of few channels.
        of_present, of_remembered = (self._of_tokens(part) for part in self.gate.weight[..., 0, 0].chunk(2, dim=1))
        bias = self.gate.bias.repeat(SUB**2) if self.gate.bias is not None else None
        gate = torch.sigmoid(F.linear(present, of_present) + F.linear(remembered, of_remembered, bias))
        return gate * (remembered - present)

    def _of_tokens(self, weight: Tensor) -> Tensor:
        """What maps the values of a pixel (dv, dv) as a map of those of the four pixels of a token, (4 dv, 4 dv)."""
        return (self.pixels[:, None, :, None] * weight[None, :, None, :]).flatten(2).flatten(0, 1)

    def placed(self, change: Tensor, rows: int) -> Tensor:
        """Put what `read` returns where the pixels are, (B, H/4, W/4, dv); `rows` of windows."""
        return _pixels(joined(change, rows))

    def _bias(self, offsets_s: Tensor, valid: Tensor) -> Tensor:
        """How far away the n tokens of every frame are from the m of a window, in space and time, (B, m, T n)."""
        nothing = torch.zeros_like(valid)
        weight, spread = (nothing, nothing) if self.time is None else self.time(offsets_s).unbind(-1)  # (B, T)
        falloff = (self.log_falloff + spread).exp()  # what is longer ago lies further away
        # Finite, because bf16 engines dislike -inf.
        weight = weight.clamp(-10.0, 10.0) + (valid - 1.0) * 1e4
        return (weight[:, None, :, None] - falloff[:, None, :, None] * self.distance[:, None]).flatten(2)

    def project(self, masks: Tensor) -> Tensor:
        """Bring mask embeddings (B, Q, d), which meet mask features, to the values that `read` returns, (B, Q, dv)."""
        return masks @ self.write.weight


def _tokens(pixels: Tensor) -> Tensor:
    """(B, dv, H/4, W/4) -> (B, H/8, W/8, 4 dv): the values of a token's 2 x 2 pixels, one pixel after the other."""
    values = pixels.permute(0, 2, 3, 1).unflatten(2, (-1, SUB)).unflatten(1, (-1, SUB))
    return values.transpose(2, 3).flatten(3)


def _pixels(tokens: Tensor) -> Tensor:
    """(B, H/8, W/8, 4 dv) -> (B, H/4, W/4, dv): what `_tokens` joined, channels last."""
    return tokens.unflatten(3, (SUB, SUB, -1)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _squared_distances() -> Tensor:
    """(m, n) squared distances in tokens between a window's tokens and all that it sees."""
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in REACH)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)  # (6, 12, 2)
    inner = grid[HALO[0] : HALO[0] + WINDOW[0], HALO[1] : HALO[1] + WINDOW[1]].reshape(-1, 1, 2)
    return (inner - grid.reshape(-1, 2)).square().sum(dim=-1)
