"""Which query answers for which class of a clip: Hungarian matching on sampled points (Mask2Former, 2112.01527)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class SetLossConfig:
    """Weights and points of the set loss; the defaults are Mask2Former's."""

    class_weight: float = 2.0
    mask_weight: float = 5.0
    """Weight of the binary cross-entropy of the masks."""
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    """Weight, in the class loss, of a query that answers for nothing."""
    points: int = 12544
    """Labelled pixels at which masks are compared, per clip in matching and per mask in the loss."""
    oversample: float = 3.0
    """For the loss, so many times the points are drawn, and the most uncertain of them kept."""
    importance: float = 0.75
    """Share of the loss's points that is kept for being uncertain; the rest is drawn evenly."""


def draw_points(labelled: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw from the labelled pixels, with replacement.

    Args:
        labelled: (L,) indices of all labelled pixels.
        shape: (N, P) of the points.
        generator: on the CPU, so that every device draws the same.
    """
    picks = (torch.rand(shape, generator=generator, dtype=torch.float64) * len(labelled)).long()
    return labelled[picks.to(labelled.device).clamp_max(len(labelled) - 1)]


def read_at(maps: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Read maps bilinearly at the centres of label pixels.

    Args:
        maps: (N, T, h, w).
        points: (N, P) or (1, P) indices into the flattened (T, H, W) label grid.
        size: (H, W) of the label grid, which covers the same area as the maps.

    Returns:
        (N, P).
    """
    height, width = size
    column, row = points % width, points // width % height
    frame = points // (height * width)
    # In [-1, 1]; along the time a frame's own centre, so that no other frame mixes in (but for a float's rounding).
    centres = [(column + 0.5) / width, (row + 0.5) / height, (frame + 0.5) / maps.shape[1]]
    grid = torch.stack(centres, dim=-1).to(maps) * 2 - 1  # (N, P, 3)
    grid = grid[:, None, None].expand(len(maps), -1, -1, -1, -1)
    return F.grid_sample(maps[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0, 0, 0]


@torch.no_grad()
def match(
    class_p: Tensor, mask_logits: Tensor, classes: Tensor, masks: Tensor, config: SetLossConfig
) -> tuple[Tensor, Tensor]:
    """Give every target a query of its own, at the least total cost.

    Args:
        class_p: (Q, C) probability that a query is of a class.
        mask_logits: (Q, P) of every query at the sampled points.
        classes: (M,) class of every target.
        masks: (M, P) 0/1, the targets at the same points.
        config: weights of the costs.

    Returns:
        Matched queries and their targets, (min(Q, M),) int64 each.
    """
    # Of all pairs at once: cross-entropy is linear in the target.
    bce = (F.softplus(-mask_logits) @ masks.T + F.softplus(mask_logits) @ (1 - masks).T) / masks.shape[1]
    p = mask_logits.sigmoid()
    dice = 1 - (2 * p @ masks.T + 1) / (p.sum(dim=1)[:, None] + masks.sum(dim=1) + 1)
    cost = config.mask_weight * bce + config.dice_weight * dice - config.class_weight * class_p[:, classes]
    queries, targets = linear_sum_assignment(cost.double().cpu().numpy())
    return torch.from_numpy(queries).to(classes), torch.from_numpy(targets).to(classes)
