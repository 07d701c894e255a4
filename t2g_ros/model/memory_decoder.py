"""The spatio-temporal memory decoder: stability queries attend to the cached tokens of a whole clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t2g_ros.model.time_embedding import TimeEmbedding


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
            hidden: (B, T, Q, N), 1 where a query must not look; None lets it look everywhere.

        Returns:
            (B, Q, d).
        """
        q = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)[:, None] * self.scale
        # Finite, because bf16 engines dislike -inf.
        frame = (valid[..., None, None, None] - 1.0) * 1e4  # (B, T, 1, 1, 1)
        if self.time_key is not None and time is not None:
            time_keys = self.time_key(time).unflatten(-1, (self.heads, -1))[..., None]  # (B, T, h, d/h, 1)
            frame = q @ time_keys + frame  # (B, T, h, Q, 1)
        if hidden is not None:
            frame = frame - hidden[:, :, None] * 1e4  # (B, T, h, Q, 1 or N)
        attend = attend_joined if keys.is_cuda and not torch.is_grad_enabled() else attend_apart
        return self.out(attend(q[:, 0], keys, values, frame).transpose(1, 2).flatten(-2))


def attend_apart(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """One softmax over the tokens of all frames, with the axis of the frames kept apart.

    Joining it with that of the tokens would copy the whole memory.

    Args:
        q: (B, h, Q, d/h), scaled.
        keys, values: (B, T, h, N, d/h).
        bias: (B, T, 1 or h, 1 or Q, 1 or N), added to the logits.

    Returns:
        (B, h, Q, d/h).
    """
    logits = q[:, None] @ keys.transpose(-1, -2) + bias  # (B, T, h, Q, N)
    weights = (logits - logits.amax(dim=(1, 4), keepdim=True)).exp()
    return (weights @ values).sum(dim=1) / weights.sum(dim=(1, 4))[..., None]


def attend_joined(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """As `attend_apart`, in the type of `q` and with few passes over the logits, which take the time on a GPU.

    There a copy of the memory costs next to nothing. (A kernel that fuses all of it, as
    `scaled_dot_product_attention`, took longer on an H100: it shares work out by queries, of which there are few.)
    """
    keys, values = (x.to(q.dtype).transpose(1, 2).flatten(2, 3) for x in (keys, values))  # (B, h, T N, d/h)
    with torch.autocast(q.device.type, enabled=False):
        logits = (q @ keys.transpose(-1, -2)).unflatten(-1, (bias.shape[1], -1))  # (B, h, Q, T, N)
        logits = logits + bias.to(q.dtype).permute(0, 2, 3, 1, 4)
        return torch.softmax(logits.flatten(3), dim=-1) @ values


class MemoryDecoderLayer(nn.Module):
    """Memory attention, attention among the queries, feed-forward; each pre-normed and residual."""

    def __init__(self, width: int, heads: int, *, timed: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.memory_attention = MemoryAttention(width, heads, timed=timed)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        time: Tensor | None,
        valid: Tensor,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Shapes as in `MemoryAttention.forward`."""
        queries = queries + self.memory_attention(self.norms[0](queries), keys, values, time, valid, hidden)
        q = self.norms[1](queries)
        queries = queries + self.self_attention(q, q, q, need_weights=False)[0]
        return queries + self.feed_forward(self.norms[2](queries))


class MemoryDecoder(nn.Module):
    """The layers and the two heads: a mask embedding and class logits per query.

    With fixed assignment there is one query per class (tqdm's form, arXiv 2407.09033): a small network then needs no
    matching, and its masks are the class scores themselves. With Hungarian assignment every query says which class it
    is, or none (Mask2Former, arXiv 2112.01527).

    Args:
        classes: K.
        width: channels d of queries and memory.
        heads: attention heads.
        layers: how many times the queries read the memory.
        timed: whether the age of a frame matters.
        hungarian: the assignment.
    """

    def __init__(
        self, classes: int, width: int, heads: int, layers: int, *, timed: bool = True, hungarian: bool = False
    ) -> None:
        super().__init__()
        self.heard = None if hungarian else classes  # of the queries, which the heads listen to
        self.time = TimeEmbedding(width) if timed else None
        self.layers = nn.ModuleList(MemoryDecoderLayer(width, heads, timed=timed) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.mask_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.class_head = nn.Linear(width, classes + 1 if hungarian else 1)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        offsets_s: Tensor,
        valid: Tensor,
        mask_tokens: Tensor | None = None,
    ) -> list[tuple[Tensor, Tensor]]:
        """Decode the clip.

        Args:
            queries: (B, Q, d) clip-level stability queries.
            keys, values: (B, T, heads, N, d / heads).
            offsets_s: (B, T) seconds relative to the segmented frame.
            valid: (B, T).
            mask_tokens: (B, T, N, d) mask features at the memory's tokens. With them a query looks only at where its
                mask was before, as far as it has one, in all frames (Mask2Former's masked attention).

        Returns:
            Per layer, the last one last: mask embeddings (B, K, d) and class logits (B, K), the log-odds
            that the class is in the clip; with Hungarian assignment (B, Q, d) and (B, Q, K + 1). With mask tokens,
            what the queries said before the first layer comes first.
        """
        time = None if self.time is None else self.time(offsets_s)
        outputs = []
        hidden: Tensor | None = None
        if mask_tokens is not None:
            outputs.append(self._heads(queries))
        for layer in self.layers:
            if mask_tokens is not None:
                hidden = _outside(outputs[-1][0].detach(), mask_tokens.detach(), valid)
            queries = layer(queries, keys, values, time, valid, hidden)
            outputs.append(self._heads(queries))
        return outputs

    def _heads(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        queries = self.norm(queries[:, : self.heard])
        classes = self.class_head(queries)
        return self.mask_head(queries), classes if self.heard is None else classes[..., 0]


def _outside(masks: Tensor, mask_tokens: Tensor, valid: Tensor) -> Tensor:
    """Where queries with these mask embeddings (B, Q, d) do not see themselves, (B, T, Q, N), 0 or 1.

    A query that sees itself nowhere may look everywhere.
    """
    inside = (masks[:, None] @ mask_tokens.transpose(-1, -2) >= 0).to(masks) * valid[..., None, None]
    somewhere = inside.amax(dim=(1, 3), keepdim=True)  # (B, 1, Q, 1)
    return (1 - inside) * somewhere
