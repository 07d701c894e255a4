"""Group norm of maps whose channels lie last as kernels of a GPU, written in Triton.

torch's takes the channels first, and the moments of a group in one block, while most of the GPU waits.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton import language as tl

BLOCK = 64
"""Pixels of one program, which reads all channels."""


def normalized(maps: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """As `torch.nn.functional.group_norm` of (B, C, h, w), channels last; C and C / groups are powers of 2."""
    pixels = maps.permute(0, 2, 3, 1).contiguous()
    b, h, w, c = pixels.shape
    blocks = triton.cdiv(h * w, BLOCK)
    moments = pixels.new_empty((b, blocks, 2, groups), dtype=torch.float32)
    out = torch.empty_like(pixels)
    sizes = {"CHANNELS": c, "GROUPS": groups, "BLOCK": BLOCK}
    _moments[(blocks, b)](pixels, moments, h * w, **sizes)
    shares = pixels.new_empty((b, 2, groups), dtype=torch.float32)
    padded = triton.next_power_of_2(blocks)
    _join[(groups, b)](moments, shares, h * w, blocks, eps, BLOCKS=padded, **sizes)
    _normalize[(blocks, b)](pixels, shares, weight, bias, out, h * w, **sizes)
    return out.permute(0, 3, 1, 2)


@triton.jit
def _moments(pixels, moments, n, CHANNELS: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    """Mean and sum of squared distances from it of every group in a block: (B, blocks, 2, GROUPS)."""
    block = tl.program_id(0)
    batch = tl.program_id(1)
    pixel = block * BLOCK + tl.arange(0, BLOCK)
    there = (pixel < n)[:, None]
    at = (batch * n + pixel)[:, None] * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    values = tl.load(pixels + at, there, 0.0).to(tl.float32)
    count = tl.minimum(n - block * BLOCK, BLOCK) * (CHANNELS // GROUPS)
    sums = tl.sum(tl.reshape(tl.sum(values, 0), (GROUPS, CHANNELS // GROUPS)), 1)
    means = sums / count
    apart = tl.reshape(tl.broadcast_to(means[:, None], (GROUPS, CHANNELS // GROUPS)), (CHANNELS,))
    distances = tl.where(there, values - apart[None, :], 0.0)
    squares = tl.sum(tl.reshape(tl.sum(distances * distances, 0), (GROUPS, CHANNELS // GROUPS)), 1)
    to = moments + (batch * tl.num_programs(0) + block) * (2 * GROUPS) + tl.arange(0, GROUPS)
    tl.store(to, means)
    tl.store(to + GROUPS, squares)


@triton.jit
def _join(
    moments, shares, n, blocks, eps,
    BLOCKS: tl.constexpr, CHANNELS: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Mean of a group, and by what its values are multiplied then: (B, 2, GROUPS)."""
    group = tl.program_id(0)
    batch = tl.program_id(1)
    block = tl.arange(0, BLOCKS)
    own = moments + (batch * blocks + block) * (2 * GROUPS) + group
    counts = tl.maximum(tl.minimum(n - block * BLOCK, BLOCK), 0) * (CHANNELS // GROUPS)
    total = n * (CHANNELS // GROUPS)
    # What the means are apart counts, too; as no large numbers are subtracted, none cancel.
    means = tl.load(own, block < blocks, 0.0)
    mean = tl.sum(means * counts, 0) / total
    squares = tl.sum(tl.load(own + GROUPS, block < blocks, 0.0) + (means - mean) * (means - mean) * counts, 0)
    tl.store(shares + batch * 2 * GROUPS + group, mean)
    tl.store(shares + batch * 2 * GROUPS + GROUPS + group, tl.rsqrt(squares / total + eps))


@triton.jit
def _normalize(
    pixels, shares, weight, bias, out, n, CHANNELS: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    batch = tl.program_id(1)
    channel = tl.arange(0, CHANNELS)
    own = shares + batch * 2 * GROUPS + channel // (CHANNELS // GROUPS)
    scale = tl.load(own + GROUPS) * tl.load(weight + channel).to(tl.float32)
    shift = tl.load(bias + channel).to(tl.float32) - tl.load(own) * scale
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = (pixel < n)[:, None]
    at = (batch * n + pixel)[:, None] * CHANNELS + channel[None, :]
    values = tl.load(pixels + at, there, 0.0).to(tl.float32)
    tl.store(out + at, (values * scale[None, :] + shift[None, :]).to(out.dtype.element_ty), there)
