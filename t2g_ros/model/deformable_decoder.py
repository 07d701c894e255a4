"""The pixel decoder of the large models: multi-scale deformable attention over the coarse levels, then a pyramid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.model.beside import both
from t2g_ros.model.deformable_attention import DeformableAttention, Sizes, fused_sampling, sine_positions, token_places
from t2g_ros.model.group_norm import GroupNorm
from t2g_ros.model.pixel_decoder import resized
from t2g_ros.model.settling import Settling, computing, fuse_relus

GROUPS = 32
"""Of the group norms."""


class Projection(nn.Sequential):
    """1x1 convolution to the decoder's width, resize, group norm.

    The first two commute, and the convolution is dearer.
    """

    def __init__(self, channels: int, width: int, *, bias: bool = True) -> None:
        super().__init__(nn.Conv2d(channels, width, 1, bias=bias), GroupNorm(GROUPS, width))
        self.channels_last = False  # however the convolution leaves them

    def forward(self, stage: Tensor, stride: int, size: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """(B, C, h, w) -> (B, d, H/stride, W/stride) of an image of `size`."""
        projected = self[0](stage)
        if self.channels_last:  # GPUs resize maps of few pixels and many channels ten times as fast then
            projected = projected.contiguous(memory_format=torch.channels_last)
        return self[1](resized(projected, stride, size))


class DeformableLayer(nn.Module):
    """Deformable attention among all tokens of a frame, and a feed-forward; each residual and normed after."""

    def __init__(self, width: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(width, heads, levels, points)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor, positions: Tensor, places: Tensor, sizes: Sizes) -> Tensor:
        """Tokens (B, N, d), positions (N, d); the others as of `DeformableAttention.forward`."""
        tokens = self.norms[0](tokens + self.attention(tokens + positions, tokens, places, sizes))
        return self.norms[1](tokens + self.feed_forward(tokens))


class DeformablePixelDecoder(Settling):
    """Mask2Former's pixel decoder (arXiv 2112.01527): the coarse levels attend to each other, the finest is added.

    Args:
        channels: stride -> channels of the encoder's features.
        width: channels d, a multiple of 32.
        layers, heads, points: of the deformable attention.
    """

    def __init__(self, channels: dict[int, int], width: int, layers: int, heads: int, points: int) -> None:
        super().__init__()
        self.finest, *coarse = sorted(channels)
        self.strides = coarse[::-1]
        self.project = nn.ModuleDict({str(s): Projection(channels[s], width) for s in self.strides})
        self.level = nn.Parameter(torch.randn(len(self.strides), width))
        self.layers = nn.ModuleList(DeformableLayer(width, heads, len(self.strides), points) for _ in range(layers))
        self.lateral = Projection(channels[self.finest], width, bias=False)
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), GroupNorm(GROUPS, width), nn.ReLU()
        )
        self.mask = nn.Conv2d(width, width, 1)
        self._settled: tuple[Tensor, Tensor] | None = None  # what `_positions` returns
        self._aside: torch.cuda.Stream | None = None

    def forward(self, stages: dict[int, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[int, Tensor]]:
        """Fuse the stages.

        Args:
            stages: stride -> (B, C_stride, h, w), resized after their projection where they are not H/stride, W/stride.
            size: (H, W) of the image.

        Returns:
            Mask features (B, d, H/4, W/4) and the pyramid, stride -> (B, d, H/stride, W/stride), 4 included.
        """
        with computing(self.level):
            return self._fused(stages, size)

    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """See `Settling`."""
        positions, places = self._positions(size)
        self._settled = positions.detach().to(dtype), places
        self.to(dtype)
        fuse_relus(self)
        self._aside = torch.cuda.Stream(self.level.device) if self.level.is_cuda else None
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.sample = fused_sampling(self.level.device)
            elif isinstance(module, GroupNorm):
                module.settle()
            elif isinstance(module, Projection):
                module.channels_last = self.level.is_cuda

    def _positions(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What tells the tokens of an image of that size where they lie, (N, d), and where that is, (N, 2)."""
        sizes, device = self._sizes(size), self.level.device
        sines = [sine_positions(h, w, self.level.shape[-1], device).to(self.level) for h, w in sizes]
        positions = torch.cat([sine + level for sine, level in zip(sines, self.level, strict=True)])
        return positions, token_places(sizes, device)

    def _sizes(self, size: tuple[int, int]) -> Sizes:
        return [(size[0] // s, size[1] // s) for s in self.strides]

    def _fused(self, stages: dict[int, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[int, Tensor]]:
        maps = [self.project[str(s)](stages[s], s, size) for s in self.strides]
        sizes = self._sizes(size)
        tokens = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)
        attended, fine = both(
            lambda: self._attended(tokens, size),
            lambda: self.lateral(stages[self.finest], self.finest, size),
            self._aside,
        )
        split = attended.transpose(1, 2).split([h * w for h, w in sizes], dim=2)
        pyramid = {s: part.unflatten(2, hw) for s, part, hw in zip(self.strides, split, sizes, strict=True)}
        above = F.interpolate(pyramid[self.strides[-1]], size=fine.shape[-2:], mode="bilinear", align_corners=False)
        pyramid[self.finest] = self.smooth(fine + above)
        return self.mask(pyramid[self.finest]), pyramid

    def _attended(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """The coarse levels' tokens, (B, N, d), after they attended to each other."""
        positions, places = self._positions(size) if self._settled is None else self._settled
        for layer in self.layers:
            tokens = layer(tokens, positions, places, self._sizes(size))
        return tokens
