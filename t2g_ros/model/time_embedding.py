"""The time embedding: a frame's age in seconds, as numbers that a network can use."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TimeEmbedding(nn.Module):
    """Sinusoids of a frame's true offset in seconds, so that a new frame rate is only an interpolation.

    The paper does not publish its time embedding; seconds are this project's choice.
    """

    omega: Tensor

    def __init__(self, width: int, shortest_s: float = 0.05, longest_s: float = 16.0, waves: int = 16) -> None:
        super().__init__()
        periods = torch.logspace(math.log10(shortest_s), math.log10(longest_s), waves)
        self.register_buffer("omega", 2 * math.pi / periods, persistent=False)
        self.project = nn.Linear(2 * waves, width)

    def forward(self, offsets_s: Tensor) -> Tensor:
        """(B, T) seconds relative to the segmented frame -> (B, T, d)."""
        phase = offsets_s[..., None] * self.omega
        return self.project(torch.cat([phase.sin(), phase.cos()], dim=-1))
