"""Deformable attention's sampling as one kernel of a GPU, written in Triton.

In separate operations every place that is looked at is written to memory and read again, two hundred bytes for each
that are used.
"""

from __future__ import annotations

from itertools import accumulate

import triton
from torch import Tensor
from triton import language as tl

BLOCK = 32
"""Queries of one program, which reads for one head."""


def sampled(values: Tensor, offsets: Tensor, logits: Tensor, places: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """As `deformable_attention.sampled_apart`; places are computed in f32, whatever the type of the values."""
    b, m, heads, levels, points, _ = offsets.shape
    channels = values.shape[-1]
    values, offsets, logits, places = (x.contiguous() for x in (values, offsets, logits, places))
    read = values.new_empty((b, m, heads * channels))
    starts = accumulate((h * w for h, w in sizes[:-1]), initial=0)
    _sample[(triton.cdiv(m, BLOCK), heads, b)](
        values,
        offsets,
        logits,
        places,
        read,
        m,
        values.shape[1],
        heads,
        STARTS=tuple(starts),
        ROWS=tuple(h for h, _ in sizes),
        COLUMNS=tuple(w for _, w in sizes),
        LEVELS=levels,
        POINTS=points,
        CHANNELS=channels,
        PADDED=triton.next_power_of_2(channels),
        BLOCK=BLOCK,
    )
    return read


@triton.jit
def _sample(
    values, offsets, logits, places, read, m, n, heads,
    STARTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    head = tl.program_id(1)
    batch = tl.program_id(2)
    there = query < m
    channel = tl.arange(0, PADDED)
    used = channel < CHANNELS
    x0 = tl.load(places + query * 2, there, 0.0)
    y0 = tl.load(places + query * 2 + 1, there, 0.0)
    own = ((batch * m + query) * heads + head) * (LEVELS * POINTS)
    largest = tl.full((BLOCK,), -float("inf"), tl.float32)
    for k in tl.static_range(LEVELS * POINTS):
        largest = tl.maximum(largest, tl.load(logits + own + k, there, 0.0).to(tl.float32))
    total = tl.zeros((BLOCK,), tl.float32)
    mean = tl.zeros((BLOCK, PADDED), tl.float32)
    for level in tl.static_range(LEVELS):
        height = ROWS[level]
        width = COLUMNS[level]
        first = values + ((batch * n + STARTS[level]) * heads + head) * CHANNELS + channel[None, :]
        for point in tl.static_range(POINTS):
            k = level * POINTS + point
            weight = tl.exp(tl.load(logits + own + k, there, 0.0).to(tl.float32) - largest)
            total += weight
            x = x0 * width + tl.load(offsets + (own + k) * 2, there, 0.0).to(tl.float32) - 0.5
            y = y0 * height + tl.load(offsets + (own + k) * 2 + 1, there, 0.0).to(tl.float32) - 0.5
            left = tl.floor(x)
            above = tl.floor(y)
            for corner in tl.static_range(4):
                column = left + corner % 2
                row = above + corner // 2
                share = weight * (1 - tl.abs(x - column)) * (1 - tl.abs(y - row))
                inside = there & (column >= 0) & (column < width) & (row >= 0) & (row < height)
                at = tl.where(inside, row * width + column, 0.0).to(tl.int32) * (heads * CHANNELS)
                value = tl.load(first + at[:, None], inside[:, None] & used[None, :], 0.0)
                mean += share[:, None] * value.to(tl.float32)
    out = ((batch * m + query) * heads + head) * CHANNELS
    result = (mean / total[:, None]).to(read.dtype.element_ty)
    tl.store(read + out[:, None] + channel[None, :], result, there[:, None] & used[None, :])
