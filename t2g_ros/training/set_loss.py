"""The set loss of Mask2Former (arXiv 2112.01527) over a clip: every query has one class and one mask per frame."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from t2g_ros.labels import IGNORE
from t2g_ros.training.matcher import SetLossConfig, draw_points, match, read_at

PARTS = ("class", "mask", "dice")


def set_loss(
    class_logits: Tensor,
    mask_logits: Tensor,
    labels: Tensor,
    groups: Tensor,
    config: SetLossConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Match queries with the classes of each clip and compare classes and masks.

    Where Mask2Former divides by the number of masks in the batch, every clip is divided by its own: clips weigh the
    same, and the mean over processes is that over the batch. Points are drawn from the labelled pixels only, so that
    neither void nor an unlabelled frame teaches anything.

    Args:
        class_logits: (B, Q, K + 1) over the fine classes, the last one "no object".
        mask_logits: (B, T, Q, h, w).
        labels: (B, T, H, W) coarse classes, 255 = ignored; the grid may be finer than the masks'.
        groups: (C, K) 0/1, `labels.supervision_matrix`: a coarse class is any of its fine ones, and a query without a
            target may be of a fine class that the label space does not know.
        config: weights and points.
        generator: draws the points; on the CPU.

    Returns:
        The weighted losses `class`, `mask` and `dice`, each the mean over the clips that hold a label; 0 if none does.
    """
    clips = [
        _clip_loss(class_logits[i], mask_logits[i].transpose(0, 1), labels[i], groups, config, generator)
        for i in range(len(labels))
        if (labels[i] != IGNORE).any()
    ]
    if not clips:
        nothing = class_logits.sum() * 0.0 + mask_logits.sum() * 0.0
        return dict.fromkeys(PARTS, nothing)
    return {part: torch.stack([clip[part] for clip in clips]).mean() for part in PARTS}


def _clip_loss(
    class_logits: Tensor,
    mask_logits: Tensor,
    labels: Tensor,
    groups: Tensor,
    config: SetLossConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Losses of one clip: class logits (Q, K + 1), mask logits (Q, T, h, w), labels (T, H, W)."""
    flat, size = labels.flatten(), (labels.shape[1], labels.shape[2])
    labelled = (flat != IGNORE).nonzero()[:, 0]
    classes = flat[labelled].unique()  # (M,) targets: the classes of the clip
    log_p, log_nothing = coarse_class_log_probabilities(class_logits, groups)

    points = draw_points(labelled, (1, config.points), generator)
    masks = (flat[points[0]] == classes[:, None]).to(mask_logits)
    queries, targets = match(log_p.exp(), read_at(mask_logits, points, size), classes, masks, config)
    classes = classes[targets]

    weights = torch.full_like(log_nothing, config.no_object_weight)
    weights[queries] = 1.0
    log_likelihood = log_nothing.index_put((queries,), log_p[queries, classes])
    class_loss = -(weights * log_likelihood).sum() / weights.sum()

    matched = mask_logits[queries]
    points = _uncertain_points(matched, labelled, size, config, generator)
    logits, masks = read_at(matched, points, size), (flat[points] == classes[:, None]).to(mask_logits)
    p = logits.sigmoid()
    dice = 1 - (2 * (p * masks).sum(dim=1) + 1) / (p.sum(dim=1) + masks.sum(dim=1) + 1)
    return {
        "class": config.class_weight * class_loss,
        "mask": config.mask_weight * F.binary_cross_entropy_with_logits(logits, masks),
        "dice": config.dice_weight * dice.mean(),
    }


def coarse_class_log_probabilities(class_logits: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of the coarse classes (Q, C), and of being none of them (Q,).

    Args:
        class_logits: (Q, K + 1), "no object" last.
        groups: (C, K) 0/1.
    """
    p = class_logits.softmax(dim=-1)
    unknown = 1 - groups.amax(dim=0)  # fine classes that no coarse one covers
    nothing = p[:, -1] + p[:, :-1] @ unknown
    return (p[:, :-1] @ groups.T).clamp_min(1e-7).log(), nothing.clamp_min(1e-7).log()


@torch.no_grad()
def _uncertain_points(
    mask_logits: Tensor, labelled: Tensor, size: tuple[int, int], config: SetLossConfig, generator: torch.Generator
) -> Tensor:
    """Points of each mask (N, P): most where its logit is nearest to 0, the rest anywhere (PointRend, 1912.08193)."""
    count = len(mask_logits)
    uncertain = int(config.importance * config.points)
    candidates = draw_points(labelled, (count, int(config.oversample * config.points)), generator)
    doubt = -read_at(mask_logits, candidates, size).abs()
    kept = candidates.gather(1, doubt.topk(uncertain, dim=1).indices)
    return torch.cat([kept, draw_points(labelled, (count, config.points - uncertain), generator)], dim=1)
