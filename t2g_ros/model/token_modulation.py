"""Stability queries in a plain transformer: they read its tokens, depth and text, and write back, after every layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Read(nn.Module):
    """Single-head attention, softmax(S Wq (X Wk)^T / sqrt(C)) X Wv, of few queries to many tokens.

    The projections of the tokens are moved to the side of the queries, S Wq Wk^T and (softmax X) Wv: the same
    numbers for a tenth of the work.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would add the same to all tokens
        self.value = nn.Linear(width, width)
        self.scale = width**-0.5

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Queries (Q, C) read tokens (B, N, C) or (N, C): (B, Q, C) or (Q, C)."""
        probes = (self.query(queries) * self.scale) @ self.key.weight
        return self.value(torch.softmax(probes @ tokens.transpose(-1, -2), dim=-1) @ tokens)


class TextStep(nn.Module):
    """S' = S + CrossAttn(S, MLP(text)): the queries learn what the classes are called (Time2General).

    One set of weights for all layers (inferred); the result does not depend on the image.

    Args:
        classes, text_width: K and C of the text features, which the weights file holds.
        width: channels of the queries.
    """

    features: Tensor

    def __init__(self, classes: int, text_width: int, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(classes, text_width))
        self.mlp = nn.Sequential(nn.Linear(text_width, width), nn.ReLU(), nn.Linear(width, width))
        self.read = Read(width)

    def forward(self, queries: Tensor) -> Tensor:
        """(Q, C) -> (Q, C)."""
        return queries + self.read(queries, self.mlp(self.features))


class TokenModulation(nn.Module):
    """How a layer's queries S, S' after the text step, read its tokens X and the depth encoder's D, and write back.

    read:  U = Read(S', X) + Read(S', D),    S^ = S' + MLP(S' + U)
    write: A = softmax over queries of (X + D) S^T / sqrt(C), its last column, the sink, dropped,
           X <- X + s Linear(A Linear(S^) + X)

    The sink lets a patch choose to change nothing. All layers share these weights, as in Rein (arXiv 2312.04265); what
    is a layer's own is the low-rank part of its queries. The residual around the MLP is inferred.

    Args:
        width: channels C of tokens and queries.
        depth: whether there are depth tokens.
    """

    def __init__(self, width: int, *, depth: bool) -> None:
        super().__init__()
        self.read = Read(width)
        self.read_depth = Read(width) if depth else None
        self.fuse = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.write = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.tensor(1e-3))
        self.temperature = width**-0.5

    def forward(
        self, layer: int, tokens: Tensor, queries: Tensor, prompted: Tensor, depth: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Modulate the tokens that leave one layer.

        Args:
            layer: not looked at, since all share their weights.
            tokens: (B, N, C).
            queries: S, (Q, C).
            prompted: S', (Q, C); S itself without text.
            depth: (B, N, C), or None as the constructor was told.

        Returns:
            Modulated tokens (B, N, C), and the queries after reading this frame (B, Q, C).
        """
        read = self.read(prompted, tokens)
        seen = tokens
        if self.read_depth is not None and depth is not None:
            read = read + self.read_depth(prompted, depth)
            seen = tokens + depth
        read_queries = prompted + self.fuse(prompted + read)  # (B, Q, C)
        assign = torch.softmax(seen @ (queries * self.temperature).T, dim=-1)[..., :-1]  # (B, N, Q - 1)
        written = assign @ self.write(read_queries[:, :-1])  # (B, N, C)
        return tokens + self.scale * self.mix(written + tokens), read_queries
