"""Attention of few queries to many tokens as two kernels of a GPU, written in Triton.

As in `split_attention` every frame is cut into parts, which are joined at the end. Here nothing is written to memory
but what the queries read of each part: where they do not see themselves is found as the tokens are read.
"""

from __future__ import annotations

import math

import torch
import triton
from torch import Tensor
from triton import language as tl

from t2g_ros.model.memory_attention import Seen

PART = 896
"""Tokens of one program, which reads for one head: for a large network some hundred programs, all at once on a GPU."""
BLOCK = 64
"""Tokens that a program looks at together."""
QUERIES = 128
"""The most queries of one program."""
LEAST_PRODUCT = 16
"""Sides of matrices that a GPU multiplies."""


def attend_fused(q: Tensor, keys: Tensor, values: Tensor, times: Tensor | None, valid: Tensor, seen: Seen) -> Tensor:
    """As `memory_attention.attend_apart`; nothing is copied where the channels lie innermost."""
    (b, frames, heads, tokens, channels), queries = keys.shape, q.shape[2]
    parts = triton.cdiv(tokens, PART)
    read = q.new_empty((b, frames * parts, heads, queries, channels), dtype=torch.float32)
    logs = q.new_empty((b, frames * parts, heads, queries), dtype=torch.float32)
    out = q.new_empty((b, queries, heads, channels))
    padded = max(LEAST_PRODUCT, triton.next_power_of_2(channels))
    of_program = min(QUERIES, max(LEAST_PRODUCT, triton.next_power_of_2(queries)))
    q, keys, values = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, keys, values))
    logits, best = (q, logs) if seen is None else seen  # not looked at without
    logits, best, valid = logits.contiguous(), best.contiguous(), valid.contiguous()
    _read[(heads, frames * parts, b * triton.cdiv(queries, of_program))](
        q, keys, values, valid if times is None else times.contiguous(), valid, logits, best, read, logs,
        *q.stride()[:3], *keys.stride()[:4], *values.stride()[:4], frames, queries, tokens, parts, heads,
        TIMED=times is not None, MASKED=seen is not None, CHANNELS=channels, PADDED=padded, QUERIES=of_program,
        FRAMES=triton.next_power_of_2(frames), PART=PART, BLOCK=BLOCK, LOG2_E=math.log2(math.e),
    )  # fmt: skip
    _join[(queries, heads, b)](
        read, logs, out, frames * parts, heads, queries,
        PARTS=triton.next_power_of_2(frames * parts), CHANNELS=channels, PADDED=padded,
    )  # fmt: skip
    return out.transpose(1, 2)


@triton.jit
def _read(
    q, keys, values, times, valid, logits, best, read, logs,
    q_batch, q_head, q_query, k_batch, k_frame, k_head, k_token, v_batch, v_frame, v_head, v_token,
    frames, queries, tokens, parts, heads,
    TIMED: tl.constexpr, MASKED: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr, QUERIES: tl.constexpr,
    FRAMES: tl.constexpr, PART: tl.constexpr, BLOCK: tl.constexpr, LOG2_E: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0).to(tl.int64)
    frame = (tl.program_id(1) // parts).to(tl.int64)
    part = tl.program_id(1) % parts
    blocks = tl.cdiv(queries, QUERIES)
    batch = (tl.program_id(2) // blocks).to(tl.int64)
    query = tl.program_id(2) % blocks * QUERIES + tl.arange(0, QUERIES)
    asked = query < queries
    channel = tl.arange(0, PADDED)
    used = channel < CHANNELS
    row = batch * frames + frame
    own = tl.load(
        q + batch * q_batch + head * q_head + query[:, None] * q_query + channel[None, :],
        asked[:, None] & used[None, :], 0.0,
    )  # fmt: skip
    # Of a frame's age and of whether there is one, which all of its logits have in common.
    common = tl.zeros((QUERIES,), tl.float32) + (tl.load(valid + row).to(tl.float32) - 1.0) * 1e4
    if TIMED:
        time = tl.load(times + (row * heads + head) * CHANNELS + channel, used, 0.0).to(tl.float32)
        common += tl.sum(own.to(tl.float32) * time[None, :], 1)
    least = tl.zeros((QUERIES,), tl.float32)
    if MASKED:
        # Below its best is nothing of a query that sees itself nowhere.
        slot = tl.arange(0, FRAMES)
        empty = (tl.load(valid + batch * frames + slot, slot < frames, 1.0).to(tl.float32) - 1.0) * 1e4
        of_frames = tl.load(
            best + (batch * queries + query[:, None]) * frames + slot[None, :],
            asked[:, None] & (slot < frames)[None, :], -float("inf"),
        )  # fmt: skip
        least = tl.minimum(tl.max(of_frames.to(tl.float32) + empty[None, :], 1), 0.0)
    largest = tl.full((QUERIES,), -1e30, tl.float32)  # finite, since a part may be hidden as a whole
    total = tl.zeros((QUERIES,), tl.float32)
    mean = tl.zeros((QUERIES, PADDED), tl.float32)
    keys += batch * k_batch + frame * k_frame + head * k_head
    values += batch * v_batch + frame * v_frame + head * v_head
    logits += ((batch * queries + query) * frames + frame) * tokens
    for start in range(part * PART, tl.minimum((part + 1) * PART, tokens), BLOCK):
        token = start + tl.arange(0, BLOCK)
        there = token < tokens
        inside = there[:, None] & used[None, :]
        key = tl.load(keys + token[:, None] * k_token + channel[None, :], inside, 0.0)
        value = tl.load(values + token[:, None] * v_token + channel[None, :], inside, 0.0)
        alike = tl.dot(own, tl.trans(key), input_precision="ieee") * LOG2_E
        visible = there[None, :]
        if MASKED:
            masks = tl.load(logits[:, None] + token[None, :], asked[:, None] & there[None, :], 0.0)
            visible = visible & (masks.to(tl.float32) >= least[:, None])
        alike = tl.where(visible, alike, -float("inf"))
        larger = tl.maximum(largest, tl.max(alike, 1))
        weights = tl.exp2(alike - larger[:, None])
        shrunk = tl.exp2(largest - larger)
        total = total * shrunk + tl.sum(weights, 1)
        mean = mean * shrunk[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        largest = larger
    at = ((batch * frames * parts + tl.program_id(1)) * heads + head) * queries + query
    # Of a part that is hidden as a whole the logarithm is negligible, and what was read 0.
    tl.store(logs + at, largest + tl.log2(tl.maximum(total, 1e-30)) + common * LOG2_E, asked)
    read_here = mean / tl.maximum(total, 1e-30)[:, None]
    tl.store(read + at[:, None] * CHANNELS + channel[None, :], read_here, asked[:, None] & used[None, :])


@triton.jit
def _join(
    read, logs, out, parts, heads, queries, PARTS: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr
):  # fmt: skip
    """Weigh what one query read for one head in all parts by what its softmax has in them."""
    query = tl.program_id(0)
    head = tl.program_id(1)
    batch = tl.program_id(2)
    part = tl.arange(0, PARTS)
    channel = tl.arange(0, PADDED)
    used = channel < CHANNELS
    at = ((batch * parts + part) * heads + head).to(tl.int64) * queries + query
    log = tl.load(logs + at, part < parts, -float("inf"))
    share = tl.exp2(log - tl.max(log, 0))
    share /= tl.sum(share, 0)
    there = (part < parts)[:, None] & used[None, :]
    found = tl.load(read + at[:, None] * CHANNELS + channel[None, :], there, 0.0)
    mean = tl.sum(found * share[:, None], 0)
    to = ((batch * queries + query) * heads + head) * CHANNELS + channel
    tl.store(out + to, mean.to(out.dtype.element_ty), used)
