"""BatchNorm over the clips of all processes, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm whose batch is that of all processes together, as if one process had it all.

    `nn.SyncBatchNorm` does the same on GPUs only; this one needs nothing but a sum over processes, which every backend
    has. Mean and variance are found in two passes in float32, so that their difference is not lost to rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w); the running statistics move as those of `nn.BatchNorm2d`."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        axes = (0, 2, 3)
        count = sum_over_processes(wide.new_tensor([x.numel() // x.shape[1]]))
        mean = sum_over_processes(wide.sum(axes)) / count
        centred = wide - mean[:, None, None]
        variance = sum_over_processes(centred.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of this batch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class _Sum(torch.autograd.Function):
    """Sum over processes; a gradient reaches every process's share of the sum from all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """See `sum_over_processes`."""
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient of a sum of all processes' losses."""
        gradient = gradients[0].clone()
        distributed.all_reduce(gradient)
        return gradient


def sum_over_processes(x: Tensor) -> Tensor:
    """Return the differentiable sum of a tensor over all processes; in one process the tensor itself."""
    return _Sum.apply(x) if distributed.is_available() and distributed.is_initialized() else x


def synchronise_batch_norm(network: nn.Module) -> None:
    """Replace every BatchNorm of a network in place; names, weights and statistics stay."""
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            synced = SyncedBatchNorm2d(child.num_features, child.eps, child.momentum)
            synced.weight, synced.bias = child.weight, child.bias
            synced.running_mean, synced.running_var = child.running_mean, child.running_var
            synced.num_batches_tracked = child.num_batches_tracked
            setattr(network, name, synced)
        else:
            synchronise_batch_norm(child)
