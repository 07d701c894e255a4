"""Attention of the stability queries to the cached tokens of a whole clip, as far as they see themselves there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Seen = tuple[Tensor, Tensor] | None
"""Where queries see themselves, for inference: logits of their masks (B, Q, T, N), the best of every frame (B, Q, T).

A token is hidden from a query below 0, and below its best in a valid frame, if that is lower.
"""
Attend = Callable[[Tensor, Tensor, Tensor, "Tensor | None", Tensor, Any], Tensor]
"""`attend_apart`, or what computes the same, maybe with `Seen` as the last argument."""


class MemoryAttention(nn.Module):
    """Multi-head attention of the queries over all tokens of all valid frames.

    Keys are cached without their time: W_k (x + e) = W_k x + W_k e, so the time term is added to the
    logits per frame and a cached key stays right however old its frame grows.

    Args:
        width: channels d, a multiple of `heads`.
        heads: attention heads.
        timed: whether the age of a frame matters.
    """

    def __init__(self, width: int, heads: int, *, timed: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.time_key = nn.Linear(width, width, bias=False) if timed else None
        self.out = nn.Linear(width, width)
        self.scale = (width // heads) ** -0.5
        self.attend: Attend = attend_apart

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        time: Tensor | None,
        valid: Tensor,
        hidden: Any = None,
    ) -> Tensor:
        """Attend.

        Args:
            queries: (B, Q, d).
            keys, values: (B, T, heads, N, d / heads) as cached.
            time: (B, T, d) time embedding of each frame; None as the constructor was told.
            valid: (B, T), 1 where the slot holds a frame, else 0.
            hidden: as `attend` takes it; None lets queries look everywhere.

        Returns:
            (B, Q, d).
        """
        q = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2) * self.scale
        times: Tensor | None = None
        if self.time_key is not None and time is not None:
            times = self.time_key(time).unflatten(-1, (self.heads, -1))
        return self.out(self.attend(q, keys, values, times, valid, hidden).transpose(1, 2).flatten(-2))


def attend_apart(
    q: Tensor, keys: Tensor, values: Tensor, times: Tensor | None, valid: Tensor, hidden: Tensor | None
) -> Tensor:
    """One softmax over the tokens of all frames, with the axis of the frames kept apart.

    Joining it with that of the tokens would copy the whole memory.

    Args:
        q: (B, h, Q, d/h), scaled.
        keys, values: (B, T, h, N, d/h).
        times: (B, T, h, d/h), what the age of a frame adds to its keys, if it matters.
        valid: (B, T).
        hidden: (B, T, Q, N), added to the logits of all heads, -1e4 where a query must not look.

    Returns:
        (B, h, Q, d/h).
    """
    frame = of_frames(q, times, valid)
    bias = frame[..., None] if hidden is None else frame[..., None] + hidden[:, :, None]
    logits = q[:, None] @ keys.transpose(-1, -2) + bias  # (B, T, h, Q, N)
    weights = (logits - logits.amax(dim=(1, 4), keepdim=True)).exp()
    return (weights @ values).sum(dim=1) / weights.sum(dim=(1, 4))[..., None]


def of_frames(q: Tensor, times: Tensor | None, valid: Tensor) -> Tensor:
    """What all logits of a frame have in common, (B, T, 1 or h, 1 or Q); arguments as of `attend_apart`."""
    # Finite, because bf16 engines dislike -inf.
    frame = (valid[..., None, None] - 1.0) * 1e4
    return frame if times is None else (q @ times.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + frame


def outside(masks: Tensor, mask_tokens: Tensor, valid: Tensor) -> Tensor:
    """What is added to logits where queries do not see themselves, (B, T, Q, N): -1e4, and 0 where they do.

    A query that sees itself nowhere may look everywhere.

    Args:
        masks: mask embeddings of the queries (B, Q, d).
        mask_tokens: (B, T, N, d).
        valid: (B, T).
    """
    inside = (masks[:, None] @ mask_tokens.transpose(-1, -2) >= 0).to(masks) * valid[..., None, None]
    somewhere = inside.amax(dim=(1, 3), keepdim=True)  # (B, 1, Q, 1)
    return (inside - 1) * somewhere * 1e4
