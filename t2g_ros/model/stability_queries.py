"""Stability queries: one learned set, shared by every frame, that reads and modulates the encoder's stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StabilityQueries(nn.Module):
    """The shared queries S, (Q, d), and their low-rank change per modulated stage.

    Sharing them over the clip is what ties frames together (Time2General, section on stability
    queries); the low-rank form per layer is Rein's (arXiv 2312.04265).
    """

    def __init__(self, queries: int, width: int, rank: int, stages: int) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.down = nn.Parameter(torch.zeros(stages, queries, rank))
        self.up = nn.Parameter(torch.randn(stages, rank, width) * rank**-0.5)

    def forward(self, stage: int) -> Tensor:
        """Queries of one stage, (Q, d)."""
        return self.shared + self.down[stage] @ self.up[stage]


class StabilityModulation(nn.Module):
    """Read a stage's features into the queries, then write the queries back into the features.

    read:  U = softmax(S Wq (X Wk)^T / sqrt(d)) X Wv,    S^ = S + MLP(S + U)
    write: A = softmax over queries of (X Wk) S^^T / sqrt(d), its last column, the sink, dropped,
           X <- X + s Linear(A Linear(S^) + X)

    The sink lets a pixel choose to change nothing. The stage is projected to the query width by
    one shared Wk, because a CNN's stages are narrower than the queries (inferred: the paper's
    encoder and queries have one width).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, width, 1)
        self.query = nn.Linear(width, width)
        self.fuse = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.write = nn.Linear(width, channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.tensor(1e-3))
        self.temperature = width**-0.5

    def forward(self, features: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Modulate one stage.

        Args:
            features: (B, C, h, w).
            queries: (Q, d).

        Returns:
            Modulated features (B, C, h, w), and the queries after reading this frame (B, Q, d).
        """
        b, c, h, w = features.shape
        keys = self.key(features).flatten(2)  # (B, d, N)
        values = self.value(features).flatten(2)  # (B, d, N)
        read = torch.softmax((self.query(queries) @ keys) * self.temperature, dim=-1)  # (B, Q, N)
        read_queries = queries + self.fuse(queries + read @ values.transpose(1, 2))  # (B, Q, d)
        assign = torch.softmax((read_queries @ keys) * self.temperature, dim=1)[:, :-1]  # (B, Q-1, N)
        written = self.write(read_queries[:, :-1]).transpose(1, 2) @ assign  # (B, C, N)
        change = self.mix(written.view(b, c, h, w) + features)
        return features + self.scale * change, read_queries


class StageModulations(nn.ModuleDict):
    """A `StabilityModulation` for every stage of an encoder whose stages differ in width.

    Args:
        channels: name of the stage -> its channels.
        width: channels of the queries.
    """

    def __init__(self, channels: dict[str, int], width: int) -> None:
        super().__init__({name: StabilityModulation(c, width) for name, c in channels.items()})

    def forward(
        self, layer: int, features: Tensor, queries: Tensor, prompted: Tensor, depth: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As `TokenModulation.forward`, on maps (B, C, h, w); there is no depth here, and S' stands for S, too."""
        modulation = self[list(self)[layer]]
        return modulation(features, prompted)
