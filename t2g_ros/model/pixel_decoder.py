"""The pixel decoder: a light feature pyramid that turns encoder stages into mask features and memory tokens."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def _smooth(width: int, stride: int) -> nn.Sequential:
    """3x3 convolution, BatchNorm (folded on export), ReLU; depthwise separable where pixels are many."""
    if stride > 8:
        convs = [nn.Conv2d(width, width, 3, padding=1, bias=False)]
    else:
        depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        convs = [depthwise, nn.Conv2d(width, width, 1, bias=False)]
    return nn.Sequential(*convs, nn.BatchNorm2d(width, momentum=0.03), nn.ReLU())


class PixelDecoder(nn.Module):
    """Top-down pyramid from the coarsest stride to stride 4 with one 3x3 convolution per level."""

    def __init__(self, channels: dict[int, int], width: int) -> None:
        super().__init__()
        self.strides = sorted(channels, reverse=True)
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(channels[s], width, 1) for s in self.strides})
        self.smooth = nn.ModuleDict({str(s): _smooth(width, s) for s in self.strides})

    def forward(self, stages: dict[int, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[int, Tensor]]:
        """Fuse the stages.

        Args:
            stages: stride -> (B, C_stride, h, w), resized after their projection where they are not H/stride, W/stride.
            size: (H, W) of the image.

        Returns:
            Mask features (B, d, H/4, W/4) and the pyramid, stride -> (B, d, H/stride, W/stride).
        """
        pyramid: dict[int, Tensor] = {}
        above: Tensor | None = None
        for stride in self.strides:
            level = resized(self.lateral[str(stride)](stages[stride]), stride, size)
            if above is not None:
                level = level + F.interpolate(above, scale_factor=2.0, mode="bilinear", align_corners=False)
            above = pyramid[stride] = self.smooth[str(stride)](level)
        return pyramid[self.strides[-1]], pyramid


def resized(maps: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, h, w) bilinearly to what its stride is of an image of that size, if it is not."""
    target = (size[0] // stride, size[1] // stride)
    if maps.shape[-2:] == target:
        return maps
    return F.interpolate(maps, size=target, mode="bilinear", align_corners=False)
