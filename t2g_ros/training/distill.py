"""Teach the encoder's light stem what the ImageNet layers that it stands in for compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from t2g_ros.model.encoder import MobileNetV2Encoder, imagenet_layers, load_folded


def distill_stem(
    encoder: MobileNetV2Encoder, imagenet: Path, images: Callable[[int], Tensor], steps: int, lr: float = 3e-3
) -> float:
    """Fit the stem, by least squares, to MobileNetV2's first layers on the image at half its size.

    Args:
        encoder: its stem is changed in place.
        imagenet: `.npz` of folded MobileNetV2 weights.
        images: step -> (B, 3, H, W) RGB in 0..255; no labels are needed.
        steps: optimiser steps.
        lr: peak learning rate, cosine decay.

    Returns:
        The share of the target's variance left unexplained at the end, 0 is perfect.
    """
    stem, blocks = imagenet_layers()
    teacher = nn.Sequential(stem, *blocks[:2]).eval().requires_grad_(False)
    load_folded(teacher, imagenet, skip=0)
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [*encoder.detail.parameters(), *encoder.handover.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    unexplained = 1.0
    progress = tqdm(range(steps), desc="distil stem", disable=None)
    for step in progress:
        x = (images(step) / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)
        target = teacher(F.avg_pool2d(x, 2))
        # Every channel counts alike, whatever its scale.
        scale = target.var(dim=(0, 2, 3), keepdim=True) + 1e-6
        loss = ((encoder.forward_stem(x)[1] - target).square() / scale).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        unexplained = 0.95 * unexplained + 0.05 * loss.item()
        progress.set_postfix(unexplained=f"{unexplained:.3f}")
    return unexplained
