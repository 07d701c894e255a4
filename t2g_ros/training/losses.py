"""The losses of one query per class: segmentation in any label space, Dice, class presence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from t2g_ros.labels import IGNORE


def coarse_log_probabilities(scores: Tensor, groups: Tensor) -> Tensor:
    """Log-probabilities of coarse classes, each the sum of the fine classes it covers.

    Args:
        scores: (N, K, h, w) logits over the fine classes.
        groups: (C, K) 0/1, `labels.supervision_matrix`.

    Returns:
        (N, C, h, w).
    """
    probabilities = torch.softmax(scores, dim=1)
    # nll_loss wants contiguous input; einsum returns a permuted view.
    return torch.einsum("ck,nkhw->nchw", groups, probabilities).clamp_min(1e-7).log().contiguous()


def segmentation_loss(log_p: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy, mean over labelled pixels; 0 if none is labelled.

    Args:
        log_p: (N, C, h, w) log-probabilities.
        labels: (N, h, w) int64, 255 = ignored.
        weights: (C,) class weights.
    """
    total = F.nll_loss(log_p, labels, weights, ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp_min(1)


def dice_loss(log_p: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice per class over the whole clip, mean over the classes present (V-Net, arXiv 1606.04797).

    Shapes as in `segmentation_loss`.
    """
    # By index: one-hot targets, as large as the probabilities and of int64, take several times as long.
    classes, p = log_p.shape[1], log_p.exp()
    valid, flat = labels != IGNORE, labels.flatten()
    own = p.gather(1, labels.where(valid, 0).unsqueeze(1)).flatten()
    overlap = p.new_zeros(IGNORE + 1).index_add(0, flat, own)[:classes]
    pixels = torch.bincount(flat, minlength=classes)[:classes]
    size = torch.einsum("nchw,nhw->c", p, valid.to(p.dtype)) + pixels
    present = pixels > 0
    if not present.any():
        return log_p.sum() * 0.0
    return (1 - (2 * overlap + 1) / (size + 1))[present].mean()


def presence_loss(class_logits: Tensor, labels: Tensor, groups: Tensor) -> Tensor:
    """Binary cross-entropy of "this class is in the clip": a coarse one if any of the fine classes is that it covers.

    Taken as independent, none of them is there with probability exp(-sum of softplus).
    0 where no pixel is labelled: nothing is known to be absent then.

    Args:
        class_logits: (B, K).
        labels: (B, T, h, w), 255 = ignored.
        groups: (C, K) 0/1.
    """
    seen = labels.new_zeros(len(labels), IGNORE + 1).scatter_(1, labels.flatten(1), 1)
    present = seen[:, : groups.shape[0]].bool()
    none = F.softplus(class_logits) @ groups.T  # -log of the probability that none is there
    smallest = torch.finfo(none.dtype).tiny
    loss = torch.where(present, -(-torch.expm1(-none.clamp_min(smallest))).log(), none)
    known = seen[:, :IGNORE].any(dim=1)
    return (loss.mean(dim=1) * known).sum() / known.sum().clamp_min(1)
