"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) in operations that every engine knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.model.kernels import kernel_or

Sizes = list[tuple[int, int]]
"""Height and width of every level."""
Sample = Callable[[Tensor, Tensor, Tensor, Tensor, Sizes], Tensor]
"""`sampled_apart`, or what computes the same."""


class DeformableAttention(nn.Module):
    """Every token looks at a few places of every level, where and how much it decides itself.

    Args:
        width: channels d of the tokens, a multiple of `heads`.
        heads, levels, points: places per token are `heads * levels * points`.
    """

    def __init__(self, width: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.shape = (heads, levels, points)
        self.offsets = nn.Linear(width, heads * levels * points * 2)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.sample: Sample = sampled_apart
        self._start()

    def _start(self) -> None:
        """Every head starts with a direction of its own, its points one step further each, weighed equally."""
        heads, levels, points = self.shape
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        direction = direction / direction.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, points + 1.0)
        start = direction[:, None, None] * steps[None, None, :, None]  # (heads, 1, points, 2)
        with torch.no_grad():
            self.offsets.bias.copy_(start.expand(heads, levels, points, 2).flatten())
        for weight in (self.offsets.weight, self.weights.weight, self.weights.bias, self.value.bias, self.out.bias):
            nn.init.zeros_(weight)
        nn.init.xavier_uniform_(self.value.weight)
        nn.init.xavier_uniform_(self.out.weight)

    def forward(self, queries: Tensor, tokens: Tensor, places: Tensor, sizes: Sizes) -> Tensor:
        """Attend.

        Args:
            queries: (B, M, d), what decides where to look.
            tokens: (B, N, d), what is looked at, level after level, row after row.
            places: (M, 2) x and y of every query in 0..1.
            sizes: of the levels.

        Returns:
            (B, M, d).
        """
        heads, levels, points = self.shape
        b, m, _ = queries.shape
        offsets = self.offsets(queries).view(b, m, heads, levels, points, 2)
        logits = self.weights(queries).view(b, m, heads, levels * points)
        values = self.value(tokens).view(b, -1, heads, tokens.shape[-1] // heads)
        return self.out(self.sample(values, offsets, logits, places, sizes))


def sampled_apart(values: Tensor, offsets: Tensor, logits: Tensor, places: Tensor, sizes: Sizes) -> Tensor:
    """Read weighted means of values at places that lie between them, level by level.

    Args:
        values: (B, N, heads, c), level after level, row after row.
        offsets: (B, M, heads, levels, points, 2), x and y from a query's place, in tokens of the level.
        logits: (B, M, heads, levels * points), whose softmax weighs the places.
        places: (M, 2), x and y of every query in 0..1.
        sizes: of the levels.

    Returns:
        (B, M, heads * c).
    """
    b, m, heads, levels, points, _ = offsets.shape
    # (B, heads, levels, M, points)
    weights = torch.softmax(logits, dim=-1).view(b, m, heads, levels, points).permute(0, 2, 3, 1, 4).to(values.dtype)
    read: Tensor | None = None
    for level, ((h, w), value) in enumerate(zip(sizes, values.split([h * w for h, w in sizes], dim=1), strict=True)):
        maps = value.permute(0, 2, 3, 1).reshape(b * heads, -1, h, w)
        x, y = offsets[:, :, :, level].unbind(-1)
        at = places[:, None, None] + torch.stack([x / w, y / h], dim=-1)  # (B, M, heads, points, 2)
        grid = at.transpose(1, 2).flatten(0, 1) * 2 - 1
        sampled = F.grid_sample(maps, grid.to(maps.dtype), align_corners=False)  # (B heads, c, M, points)
        part = (sampled * weights[:, :, level].flatten(0, 1)[:, None]).sum(dim=-1)
        read = part if read is None else read + part
    assert read is not None
    return read.reshape(b, -1, m).transpose(1, 2)


@cache
def fused_sampling(device: torch.device) -> Sample:
    """As `sampled_apart`, in one kernel where the device and what is installed allow it."""

    def load() -> Sample:
        from t2g_ros.model.kernels.deformable import sampled

        return sampled

    zeros = torch.zeros(1, 1, 1, 2, device=device)
    inputs = zeros, zeros[..., None, None, :], zeros[..., :1], zeros[0, 0], [(1, 1)]
    return kernel_or(sampled_apart, load, lambda kernel: kernel(*inputs), device)


def token_places(sizes: Sizes, device: torch.device) -> Tensor:
    """X and y in 0..1 of the centres of all tokens, level after level: (N, 2)."""
    levels = []
    for h, w in sizes:
        y, x = ((torch.arange(side, device=device) + 0.5) / side for side in (h, w))
        levels.append(torch.stack([x.expand(h, w), y[:, None].expand(h, w)], dim=-1).reshape(-1, 2))
    return torch.cat(levels)


def sine_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Sines and cosines of a map's rows, then of its columns (DETR, arXiv 2005.12872): (height * width, channels)."""
    waves = 10000 ** (torch.arange(0, channels // 2, 2, device=device) / (channels // 2))

    def embedded(length: int) -> Tensor:
        phase = torch.arange(1, length + 1, device=device)[:, None] * (2 * math.pi / (length + 1e-6)) / waves
        return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(1)

    rows, columns = embedded(height)[:, None], embedded(width)[None]
    return torch.cat([rows.expand(-1, width, -1), columns.expand(height, -1, -1)], dim=-1).flatten(0, 1)
