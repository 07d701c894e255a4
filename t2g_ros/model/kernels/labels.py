"""From class scores to labels and confidence as a kernel of a GPU, written in Triton.

In separate operations every one of the four quarters of the raised scores is written to memory for all classes.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton import language as tl

BLOCK = 128
"""Pixels of the scores of one program, which goes through all classes."""


def resolved(scores: Tensor) -> tuple[Tensor, Tensor]:
    """As `scores.resolve`."""
    b, classes, h, w = scores.shape
    labels = torch.empty((b, 2 * h, 2 * w), dtype=torch.uint8, device=scores.device)
    confidence = torch.empty((b, h, w), dtype=torch.uint8, device=scores.device)
    _resolve[(triton.cdiv(h * w, BLOCK), b)](scores, labels, confidence, *scores.stride(), classes, h, w, BLOCK=BLOCK)
    return labels, confidence


@triton.jit
def _resolve(
    scores, labels, confidence, of_batch, of_class, of_row, of_column, classes, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    batch = tl.program_id(1)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = pixel < h * w
    row = pixel // w
    column = pixel % w
    quarter = tl.arange(0, 4)  # above left, above right, below left, below right
    other_row = tl.minimum(tl.maximum(row[:, None] + quarter[None, :] // 2 * 2 - 1, 0), h - 1)
    other_column = tl.minimum(tl.maximum(column[:, None] + quarter[None, :] % 2 * 2 - 1, 0), w - 1)
    known = there[:, None] & (quarter >= 0)[None, :]
    best = tl.full((BLOCK, 4), -float("inf"), tl.float32)
    label = tl.zeros((BLOCK, 4), tl.int32)
    most = tl.full((BLOCK,), -float("inf"), tl.float32)
    own = scores + batch * of_batch + row * of_row + column * of_column
    above = scores + batch * of_batch + other_row * of_row + (column * of_column)[:, None]
    beside = scores + batch * of_batch + (row * of_row)[:, None] + other_column * of_column
    across = scores + batch * of_batch + other_row * of_row + other_column * of_column
    for k in range(classes):
        here = tl.load(own + k * of_class, there, 0.0)
        vertical = 0.75 * here[:, None] + 0.25 * tl.load(above + k * of_class, known, 0.0)
        other = tl.load(beside + k * of_class, known, 0.0)
        diagonal = 0.75 * other + 0.25 * tl.load(across + k * of_class, known, 0.0)
        raised = 0.75 * vertical + 0.25 * diagonal
        better = raised > best
        best = tl.where(better, raised, best)
        label = tl.where(better, k, label)
        most = tl.maximum(most, here)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(classes):
        total += tl.exp(tl.load(own + k * of_class, there, 0.0) - most)
    to = (2 * row[:, None] + quarter[None, :] // 2) * (2 * w) + 2 * column[:, None] + quarter[None, :] % 2
    tl.store(labels + batch * 4 * h * w + to, label.to(tl.uint8), known)
    tl.store(confidence + batch * h * w + pixel, tl.floor(255.0 / total + 0.5).to(tl.uint8), there)
