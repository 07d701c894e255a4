"""What parts of the network do once before inference, instead of for every frame."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class Settling(nn.Module):
    """A part that can be settled on one size and one type of arithmetic; from then on it is for inference alone."""

    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """Compute once what depends on the weights and on the (height, width) of the images alone.

        Args:
            size: of the images.
            dtype: of the products. In a type of 16 bits the part computes as a whole, with weights of that type.
        """
        raise NotImplementedError


def computing(weight: Tensor) -> AbstractContextManager[Any]:
    """How a part that may be settled has to compute, by one of its weights.

    Weights of 16 bits make all of it compute in their type; autocast would bring every norm's result to f32, and back
    for the product behind it, which takes as long as the products do.
    """
    low = weight.dtype in (torch.float16, torch.bfloat16)
    return torch.autocast(weight.device.type, enabled=False) if low else nullcontext()


class LinearReLU(nn.Linear):
    """A linear layer and the ReLU behind it, in one kernel of a GPU."""

    def forward(self, values: Tensor) -> Tensor:
        """(..., C) -> (..., D)."""
        return linear_relu(values, self.weight, self.bias)


def linear_relu(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`relu(F.linear(values, weight, bias))`."""
    rows = values.flatten(0, -2)
    return torch._addmm_activation(bias, rows, weight.T).unflatten(0, values.shape[:-1])


def fuse_relus(part: nn.Module) -> None:
    """Let the linear layers of a part compute the ReLUs that follow them in a sequence, too."""
    for sequence in [module for module in part.modules() if isinstance(module, nn.Sequential)]:
        for index, (layer, follower) in enumerate(pairwise(sequence)):
            if type(layer) is nn.Linear and isinstance(follower, nn.ReLU):
                layer.__class__ = LinearReLU
                sequence[index + 1] = nn.Identity()
