"""Attention of the stability queries to the cached tokens of a whole clip, as far as they see themselves there."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, "Tensor | None"], Tensor]
"""`attend_apart`, or what computes the same."""


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
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            queries: (B, Q, d).
            keys, values: (B, T, heads, N, d / heads) as cached.
            time: (B, T, d) time embedding of each frame; None as the constructor was told.
            valid: (B, T), 1 where the slot holds a frame, else 0.
            hidden: (B, T, Q, N), added to the logits, -1e4 where a query must not look; None lets it look everywhere.

        Returns:
            (B, Q, d).
        """
        q = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2) * self.scale
        # Finite, because bf16 engines dislike -inf.
        frame = (valid[..., None, None] - 1.0) * 1e4  # (B, T, 1, 1)
        if self.time_key is not None and time is not None:
            time_keys = self.time_key(time).unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1)  # (B, h, d/h, T)
            frame = (q @ time_keys).permute(0, 3, 1, 2) + frame  # (B, T, h, Q)
        return self.out(self.attend(q, keys, values, frame, hidden).transpose(1, 2).flatten(-2))


def attend_apart(q: Tensor, keys: Tensor, values: Tensor, frame: Tensor, hidden: Tensor | None) -> Tensor:
    """One softmax over the tokens of all frames, with the axis of the frames kept apart.

    Joining it with that of the tokens would copy the whole memory.

    Args:
        q: (B, h, Q, d/h), scaled.
        keys, values: (B, T, h, N, d/h).
        frame: (B, T, 1 or h, 1 or Q), added to all logits of a frame.
        hidden: (B, T, Q, N), added to the logits of all heads.

    Returns:
        (B, h, Q, d/h).
    """
    bias = frame[..., None] if hidden is None else frame[..., None] + hidden[:, :, None]
    logits = q[:, None] @ keys.transpose(-1, -2) + bias  # (B, T, h, Q, N)
    weights = (logits - logits.amax(dim=(1, 4), keepdim=True)).exp()
    return (weights @ values).sum(dim=1) / weights.sum(dim=(1, 4))[..., None]


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
