"""Patch kernels of another size: 14 x 14 as DINOv2 was trained with, 16 x 16 so that tokens lie at stride 16."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_patch_kernel(kernel: Tensor, size: int) -> Tensor:
    """Resize a patch embedding so that it answers to a resized patch as it did to the patch.

    Resizing the kernel like an image would change its answers by the ratio of the areas, and more. FlexiViT's
    (arXiv 2212.08013, section 3.4) is the kernel whose answers stay: with B the matrix that resizes a patch, it is the
    pseudo-inverse of B's transpose times the kernel, exact where a patch grows. B is linear interpolation here, carried
    on beyond the outermost pixel centres, where the neighbouring patch goes on in a whole image.

    Args:
        kernel: (C, channels, p, p).
        size: the new p.
    """
    inverse = torch.linalg.pinv(_interpolation(kernel.shape[-1], size))  # (p, size)
    resized = torch.einsum("pi,ocpq,qj->ocij", inverse, kernel.double(), inverse)
    return resized.to(kernel.dtype)


def _interpolation(before: int, after: int) -> Tensor:
    """(after, before) matrix of linear interpolation between pixel centres."""
    position = (torch.arange(after, dtype=torch.float64) + 0.5) * before / after - 0.5
    left = position.floor().clamp(0, before - 2).long()
    share = position - left
    matrix = torch.zeros(after, before, dtype=torch.float64)
    rows = torch.arange(after)
    matrix[rows, left] = 1 - share
    matrix[rows, left + 1] = share
    return matrix
