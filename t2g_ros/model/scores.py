"""From what the decoder says of queries and pixels to class scores, and from these to labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from t2g_ros.model.kernels import kernel_or

Resolve = Callable[[Tensor], tuple[Tensor, Tensor]]
OUTPUT_STRIDE = 2
"""Stride of the labels: scores are raised from twice that before the argmax, so thin things keep their edge."""
LEAST = 1e-6
"""What the probability of a class that no query claims is raised to, for its logarithm."""


class DecodedClip(NamedTuple):
    """What is decoded of the segmented frame; with more frames at once, an axis T follows B in scores and masks."""

    scores: Tensor
    """(B, K, H/4, W/4) class scores (logits)."""
    class_logits: Tensor
    """(B, K) log-odds that a class is in the clip; (B, Q, K + 1) class of every query, the last one being none, with
    Hungarian assignment."""
    mask_logits: Tensor
    """(B, K, H/4, W/4) of the class queries; (B, Q, H/4, W/4) of all with Hungarian assignment."""


def class_scores(mask_logits: Tensor, class_logits: Tensor, bias: Tensor) -> Tensor:
    """Scores of one query per class: Mask2Former multiplies class and mask probabilities; in logits that is a sum.

    Args:
        mask_logits: (B, ..., K, h, w).
        class_logits: (B, K).
        bias: (K,), by how much likelier a class is than what is seen of it tells.
    """
    presence = F.logsigmoid(class_logits) + bias
    between = (1,) * (mask_logits.dim() - 4)
    return mask_logits + presence.reshape(presence.shape[0], *between, -1, 1, 1)


def semantic_scores(mask_logits: Tensor, class_logits: Tensor) -> Tensor:
    """Scores of queries that claim classes: log sum_q softmax(class_q)[k] sigmoid(mask_q) (Mask2Former), none dropped.

    Args:
        mask_logits: (B, ..., Q, h, w).
        class_logits: (B, Q, K + 1).

    Returns:
        (B, ..., K, h, w), whose softmax over K is each class's share of what is claimed.
    """
    classes = torch.softmax(class_logits, dim=-1)[..., :-1]
    claimed = torch.einsum("bqk,b...qhw->b...khw", classes, mask_logits.sigmoid())
    return claimed.float().clamp_min(LEAST).log()


def resolve(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Turn scores (B, K, H/4, W/4) into labels (B, H/2, W/2) and confidence (B, H/4, W/4), both uint8.

    Labels are the argmax of the raised scores, so that edges are finer than the scores' grid; confidence,
    the winning class's probability with 255 = certain, is smooth enough to stay on it.
    """
    labels, confidence = label_values(scores)
    return labels.to(torch.uint8), confidence.to(torch.uint8)


@cache
def fused_resolve(device: torch.device) -> Resolve:
    """As `resolve`, in a kernel of its own where the device and what is installed allow it."""

    def load() -> Resolve:
        from t2g_ros.model.kernels.labels import resolved

        return resolved

    return kernel_or(resolve, load, lambda kernel: kernel(torch.zeros(1, 1, 2, 2, device=device)), device)


def label_values(scores: Tensor) -> tuple[Tensor, Tensor]:
    """As `resolve` before its casts to uint8, which engines differ in: int64 labels, whole float confidence."""
    best = scores.amax(dim=1)
    confidence = 1.0 / (scores - best[:, None]).exp().sum(dim=1)
    return raised_argmax(scores), (confidence * 255.0).round()


def raised_argmax(scores: Tensor) -> Tensor:
    """Labels (B, 2 h, 2 w), int64, of scores (B, K, h, w) that are raised to twice their size, bilinear.

    The argmax is taken over each of the four quarters of the pixels, and only labels are interleaved. Engines raise a
    map of scores with its channels last, where the argmax alone takes longer than all of this.
    """
    padded = F.pad(scores, (1, 1, 1, 1), mode="replicate")
    rows = [0.75 * padded[..., 1:-1, :] + 0.25 * of for of in (padded[..., :-2, :], padded[..., 2:, :])]
    quarters = [
        0.75 * row[..., 1:-1] + 0.25 * of for row in rows for of in (row[..., :-2], row[..., 2:])
    ]  # above left, above right, below left, below right
    labels = torch.stack([quarter.argmax(dim=1) for quarter in quarters], dim=1)  # (B, 4, h, w)
    return labels.unflatten(1, (2, 2)).permute(0, 3, 1, 4, 2).flatten(3, 4).flatten(1, 2)
