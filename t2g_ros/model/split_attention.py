"""Attention of few queries to many tokens as inference computes it: in parts of the tokens, all at once, then joined.

Kernels that fuse attention share the work out by queries, of which there are too few here to fill a GPU. So every frame
is cut into parts, as in Flash-Decoding. What is added to all logits of a frame, such as its age, then comes in only
when the parts are joined.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from t2g_ros.model.kernels import kernel_or
from t2g_ros.model.memory_attention import Attend, Seen, of_frames

LARGEST_PART = 1536
"""Tokens: some hundred blocks of a kernel then read the memory of a large network."""
ALIGNED = 8
"""Kernels take rows of a bias whose length is a multiple of it."""


def attend_split(q: Tensor, keys: Tensor, values: Tensor, times: Tensor | None, valid: Tensor, seen: Seen) -> Tensor:
    """As `memory_attention.attend_apart`; nothing is copied where the heads lie innermost in keys and values."""
    (batch, frames, heads, tokens, _), queries = keys.shape, q.shape[2]
    parts = next(parts for parts in range(-(-tokens // LARGEST_PART), tokens + 1) if tokens % parts == 0)
    bias = None
    if seen is not None:
        hidden = (
            hidden_from(seen, valid).unflatten(3, (parts, -1)).transpose(2, 3).flatten(0, 2)
        )  # (B T parts, Q, N / parts)
        padding = -hidden.shape[-1] % ALIGNED
        hidden = F.pad(hidden, (0, padding))[..., : hidden.shape[-1]] if padding else hidden
        bias = hidden[:, None].expand(-1, heads, -1, -1)
    keys, values = (x.unflatten(3, (parts, -1)).transpose(2, 3).flatten(0, 2) for x in (keys, values))
    repeated = q[:, None].expand(-1, frames * parts, -1, -1, -1).flatten(0, 1)
    read, logs = _attend(repeated, keys, values, bias)
    logs = (
        logs[..., :queries].unflatten(0, (batch, frames, parts)) + of_frames(q, times, valid)[:, :, None]
    )  # (B, T, parts, h, Q)
    shares = torch.softmax(logs.flatten(1, 2).movedim(1, -1), dim=-1).movedim(-1, 1)[..., None]
    return (read.unflatten(0, (batch, -1)) * shares).sum(dim=1).to(q.dtype)


def _attend(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention, (B, h, Q, d/h), and the logarithms of what its softmax divides by, (B, h, Q or more) in f32."""
    if q.is_cuda:
        attend = torch.ops.aten._scaled_dot_product_efficient_attention
        return attend(q, keys, values, bias, compute_log_sumexp=True, scale=1.0)[:2]
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, keys, values, attn_mask=bias, scale=1.0)


def hidden_from(seen: tuple[Tensor, Tensor], valid: Tensor) -> Tensor:
    """-1e4 where `Seen` says that a token is hidden, else 0, (B, T, Q, N)."""
    logits, best = seen
    least = (best + (valid[:, None] - 1.0) * 1e4).amax(dim=-1).clamp(max=0.0)  # (B, Q)
    # Below its best is nothing of a query that sees itself nowhere; what slots hold that are not valid does not matter.
    hidden = logits < least.to(logits.dtype)[..., None, None]
    return (hidden * torch.tensor(-1e4, dtype=logits.dtype)).movedim(1, 2)


def seen_joined(masks: Tensor, mask_tokens: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """What `memory_attention.outside` tells, in one product over all frames; arguments as of it."""
    logits = masks @ mask_tokens.flatten(1, 2).transpose(1, 2)  # (B, Q, T N)
    logits = logits.unflatten(2, mask_tokens.shape[1:3])
    return logits, logits.amax(dim=-1)


@cache
def fused_attention(device: torch.device, dtype: torch.dtype) -> Attend:
    """As `attend_split`, in kernels of its own where the device, the type and what is installed allow it."""

    def load() -> Attend:
        from t2g_ros.model.kernels.memory import attend_fused

        return attend_fused

    if dtype == torch.float32:
        return attend_split  # such products are no work for the kernel
    zeros = torch.zeros(1, 1, 1, 1, 16, dtype=dtype, device=device)
    one = zeros[..., 0]
    inputs = zeros[0], zeros, zeros, zeros[0], one[0, 0].float(), (one, one[0])
    return kernel_or(attend_split, load, lambda kernel: kernel(*inputs), device)
