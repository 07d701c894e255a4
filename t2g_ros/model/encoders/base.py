"""What every image encoder offers: maps at several strides, and the layers between which its features may change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from t2g_ros.model.settling import Settling

Modulate = Callable[[int, Tensor], Tensor]
"""Takes the number of a layer and the features that leave it, and returns those that enter the next one.

A plain transformer's features are tokens (B, N, C) without its class token; all others' are maps (B, C, h, w). For
inference tokens may be changed in place.
"""


class Encoder(nn.Module, ABC):
    """From an image to features, layer by layer; the stability queries read and change what leaves a layer."""

    has_tokens = False
    """Whether the features that are modulated are tokens, all of one width, instead of maps."""
    channels: dict[int, int]
    """Stride -> channels of what `forward` returns."""
    layers: dict[str, int]
    """Name -> channels of the features that leave each of the layers, in order."""

    @abstractmethod
    def forward(self, image: Tensor, modulate: Modulate | None = None) -> dict[int, Tensor]:
        """Encode images, each on its own.

        Args:
            image: (B, 3, H, W) RGB in 0..255, H and W multiples of 64.
            modulate: what happens to the features after every layer; None leaves them.

        Returns:
            Stride -> (B, C, h, w). The maps may be of another size than H / stride, as a plain transformer's are, which
            has one size only: whoever reads them projects them first and resizes then, which costs less.
        """


class Trunk(Settling):
    """Pretrained weights, which may be frozen: then they have no gradients and no dropout, however the network is set.

    Gradients still flow through a frozen trunk to whatever changed the features of its earlier layers. Where nothing
    did, autograd records nothing.
    """

    frozen = False

    def freeze(self) -> None:
        """Train these weights no more."""
        self.requires_grad_(False).eval()
        self.frozen = True

    def train(self, mode: bool = True) -> Trunk:
        """Set the mode, as far as the weights are not frozen."""
        return super().train(mode and not self.frozen)

    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """See `Settling`; here there is nothing to do but what is done for every product."""


class ImageNetNormalization(nn.Module):
    """RGB in 0..255 -> what networks take that were trained with the mean and deviation of ImageNet's images."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W)."""
        return (image - self.mean) / self.deviation
