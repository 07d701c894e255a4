"""Attention of few queries to many tokens as inference computes it: in parts of the tokens, all at once, then joined.

Kernels that fuse attention share the work out by queries, of which there are too few here to fill a GPU. So every frame
is cut into parts, as in Flash-Decoding. What is added to all logits of a frame, such as its age, then comes in only
when the parts are joined.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_PART = 1536
"""Tokens: some hundred blocks of a kernel then read the memory of a large network."""
ALIGNED = 8
"""Kernels take rows of a bias whose length is a multiple of it."""


def attend_split(q: Tensor, keys: Tensor, values: Tensor, frame: Tensor, hidden: Tensor | None) -> Tensor:
    """As `memory_attention.attend_apart`; nothing is copied where the heads lie innermost in keys and values."""
    (batch, frames, heads, tokens, _), queries = keys.shape, q.shape[2]
    parts = next(parts for parts in range(-(-tokens // LARGEST_PART), tokens + 1) if tokens % parts == 0)
    bias = None
    if hidden is not None:
        hidden = hidden.unflatten(3, (parts, -1)).transpose(2, 3).flatten(0, 2)  # (B T parts, Q, N / parts)
        padding = -hidden.shape[-1] % ALIGNED
        hidden = F.pad(hidden, (0, padding))[..., : hidden.shape[-1]] if padding else hidden
        bias = hidden[:, None].expand(-1, heads, -1, -1)
    keys, values = (x.unflatten(3, (parts, -1)).transpose(2, 3).flatten(0, 2) for x in (keys, values))
    repeated = q[:, None].expand(-1, frames * parts, -1, -1, -1).flatten(0, 1)
    read, logs = _attend(repeated, keys, values, bias)
    logs = logs[..., :queries].unflatten(0, (batch, frames, parts)) + frame[:, :, None]  # (B, T, parts, h, Q)
    shares = torch.softmax(logs.flatten(1, 2).movedim(1, -1), dim=-1).movedim(-1, 1)[..., None]
    return (read.unflatten(0, (batch, -1)) * shares).sum(dim=1).to(q.dtype)


def _attend(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention, (B, h, Q, d/h), and the logarithms of what its softmax divides by, (B, h, Q or more) in f32."""
    if q.is_cuda:
        attend = torch.ops.aten._scaled_dot_product_efficient_attention
        return attend(q, keys, values, bias, compute_log_sumexp=True, scale=1.0)[:2]
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, keys, values, attn_mask=bias, scale=1.0)


def outside_joined(masks: Tensor, mask_tokens: Tensor, valid: Tensor) -> Tensor:
    """As `memory_attention.outside`, in one product over all frames and few passes over its result."""
    logits = masks @ mask_tokens.flatten(1, 2).transpose(1, 2)  # (B, Q, T N)
    logits = logits.unflatten(2, mask_tokens.shape[1:3])
    best = (logits.amax(dim=-1) + (valid[:, None] - 1.0) * 1e4).amax(dim=-1)  # (B, Q)
    # Below its best is nothing of a query that sees itself nowhere; what slots hold that are not valid does not matter.
    hidden = logits < best.clamp(max=0.0).to(logits.dtype)[..., None, None]
    return (hidden * torch.tensor(-1e4, dtype=logits.dtype)).movedim(1, 2)
