"""Group norm of maps: as torch has it, or for inference on a GPU in kernels of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.model.kernels import kernel_or

Normalize = Callable[[Tensor, int, Tensor, Tensor, float], Tensor]
"""`torch.nn.functional.group_norm`, or what computes the same; arguments as of it."""


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm`, whose arithmetic can be exchanged."""

    normalize: Normalize = staticmethod(F.group_norm)

    def settle(self) -> None:
        """Choose what is fastest where the weights are; for inference."""
        if self.num_channels & (self.num_channels - 1) == 0:  # a power of 2, as the kernels take it
            self.normalize = fused_group_norm(self.weight.device)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return self.normalize(maps, self.num_groups, self.weight, self.bias, self.eps)


@cache
def fused_group_norm(device: torch.device) -> Normalize:
    """As `torch.nn.functional.group_norm`, in kernels of its own where the device and what is installed allow it."""

    def load() -> Normalize:
        from t2g_ros.model.kernels.group_norm import normalized

        return normalized

    ones = torch.ones(1, 64, 1, 1, device=device)
    return kernel_or(F.group_norm, load, lambda kernel: kernel(ones, 32, ones.flatten(), ones.flatten(), 1.0), device)
