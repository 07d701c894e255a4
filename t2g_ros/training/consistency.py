"""The masked temporal consistency loss: a prediction may change only where the label does."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from t2g_ros.labels import IGNORE

Divergence = Callable[[Tensor, Tensor], Tensor]
"""Of two log-probabilities (N, K, h, w), one value per pixel (N, h, w)."""


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Kullback-Leibler divergence of Q from P, per pixel."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Mean of the Kullback-Leibler divergences in both directions, per pixel."""
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Mean divergence of P and of Q from their middle, per pixel, at most log 2."""
    middle = torch.logaddexp(log_p, log_q) - math.log(2)
    return 0.5 * (kl(log_p, middle) + kl(log_q, middle))


def squared_distance(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Squared Euclidean distance of the probabilities, per pixel, at most 2."""
    return (log_p.exp() - log_q.exp()).square().sum(dim=1)


DIVERGENCES: dict[str, Divergence] = {
    "symmetric_kl": symmetric_kl,
    "kl": kl,
    "js": jensen_shannon,
    "l2": squared_distance,
}
PAIRS = ("adjacent", "all")
MASKS = ("stable", "all")


def masked_temporal_consistency(
    log_p: Tensor,
    labels: Tensor,
    divergence: Divergence = symmetric_kl,
    pairs: str = "adjacent",
    mask: str = "stable",
) -> Tensor:
    """Mean divergence between the predictions of two frames of a clip, over the pixels and pairs that count.

    Time2General (arXiv 2602.09648) regularises differences of prediction in label-stable regions; the form is not
    published, so the defaults are inferred.

    Args:
        log_p: (B, T, K, h, w) log-probabilities.
        labels: (B, T, h, w), 255 = ignored.
        divergence: between the earlier and the later frame of a pair.
        pairs: `adjacent` frames of the (strided) clip, or `all` of its frames with each other.
        mask: `stable` counts the pixels that hold one known label in both frames, `all` every pixel.

    Returns:
        A scalar; 0 where nothing counts.
    """
    first, second = _pairs(log_p.shape[1], pairs)
    change = divergence(log_p[:, first].flatten(0, 1), log_p[:, second].flatten(0, 1))
    before, after = labels[:, first].flatten(0, 1), labels[:, second].flatten(0, 1)
    counts = torch.ones_like(before, dtype=torch.bool) if mask == "all" else (before == after) & (before != IGNORE)
    return (change * counts).sum() / counts.sum().clamp_min(1)


def _pairs(frames: int, pairs: str) -> tuple[list[int], list[int]]:
    """Indices of the earlier and of the later frame of every pair."""
    reach = 1 if pairs == "adjacent" else frames
    found = [(t, u) for t in range(frames) for u in range(t + 1, min(t + reach, frames - 1) + 1)]
    return [t for t, _ in found], [u for _, u in found]
