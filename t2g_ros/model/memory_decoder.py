"""The spatio-temporal memory decoder: stability queries attend to the cached tokens of a whole clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from t2g_ros.model.memory_attention import MemoryAttention, outside
from t2g_ros.model.settling import Settling, computing, fuse_relus
from t2g_ros.model.split_attention import fused_attention, seen_joined
from t2g_ros.model.time_embedding import TimeEmbedding


class ClipTokens(NamedTuple):
    """What the decoder reads of a clip."""

    queries: Tensor
    """(B, Q, d) clip-level stability queries."""
    keys: Tensor
    """(B, T, heads, N, d / heads) of the cached tokens, as the values."""
    values: Tensor
    offsets_s: Tensor
    """(B, T) seconds relative to the segmented frame."""
    valid: Tensor
    """(B, T), 1 where the slot holds a frame, else 0."""
    mask_tokens: Tensor | None = None
    """(B, T, N, d) mask features at the memory's tokens. With them a query looks only at where its mask was before, as
    far as it has one, in all frames (Mask2Former's masked attention)."""


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
        hidden: Any = None,
    ) -> Tensor:
        """Shapes as in `MemoryAttention.forward`."""
        queries = queries + self.memory_attention(self.norms[0](queries), keys, values, time, valid, hidden)
        q = self.norms[1](queries)
        queries = queries + self.self_attention(q, q, q, need_weights=False)[0]
        return queries + self.feed_forward(self.norms[2](queries))


class MemoryDecoder(Settling):
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
        self._outside: Callable[[Tensor, Tensor, Tensor], Any] = outside  # see `MemoryAttention.attend`
        self._dtype: torch.dtype | None = None  # that it is settled on

    def forward(self, clip: ClipTokens) -> list[tuple[Tensor, Tensor]]:
        """Decode the clip.

        Returns:
            Per layer, the last one last: mask embeddings (B, K, d) and class logits (B, K), the log-odds
            that the class is in the clip; with Hungarian assignment (B, Q, d) and (B, Q, K + 1). With mask tokens,
            what the queries said before the first layer comes first.
        """
        return [(masks, self._classes(heard)) for heard, masks in self._steps(clip)]

    def last(self, clip: ClipTokens) -> tuple[Tensor, Tensor]:
        """The last of what `forward` returns."""
        heard, masks = self._steps(clip)[-1]
        return masks, self._classes(heard)

    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """See `Settling`; ages are still embedded in f32."""
        for part in (self.layers, self.norm, self.mask_head, self.class_head):
            part.to(dtype)
            fuse_relus(part)
        for module in self.modules():
            if isinstance(module, MemoryAttention):
                module.attend = fused_attention(self.norm.weight.device, dtype)
        self._outside = seen_joined
        self._dtype = dtype

    def _steps(self, clip: ClipTokens) -> list[tuple[Tensor, Tensor]]:
        """What the heads hear, normed, and mask embeddings; otherwise as `forward`."""
        queries, keys, values, offsets_s, valid, mask_tokens = clip
        time = None if self.time is None else self.time(offsets_s)
        if self._dtype is not None:
            queries, time = queries.to(self._dtype), None if time is None else time.to(self._dtype)
        steps: list[tuple[Tensor, Tensor]] = []
        hidden: Any = None
        with computing(self.norm.weight):
            if mask_tokens is not None:
                steps.append(self._masks(queries))
            for layer in self.layers:
                if mask_tokens is not None:
                    hidden = self._outside(steps[-1][1].detach(), mask_tokens.detach(), valid)
                queries = layer(queries, keys, values, time, valid, hidden)
                steps.append(self._masks(queries))
        return steps

    def _masks(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        heard = self.norm(queries[:, : self.heard])
        return heard, self.mask_head(heard)

    def _classes(self, heard: Tensor) -> Tensor:
        with computing(self.norm.weight):
            classes = self.class_head(heard)
        return classes if self.heard is None else classes[..., 0]
