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


class ResidualBlock(nn.Module):
    """x + conv3x3(ReLU(conv3x3(x))), each with BatchNorm (He et al., arXiv 1512.03385); untrained, it changes nothing.

    Its sum is left as it is (Sandler et al., arXiv 1801.04381, find that a ReLU there loses something).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)]
        norms = [nn.BatchNorm2d(width, momentum=0.03) for _ in range(2)]
        self.change = nn.Sequential(convs[0], norms[0], nn.ReLU(), convs[1], norms[1])
        nn.init.zeros_(norms[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class PixelDecoder(nn.Module):
    """Top-down pyramid from the coarsest stride to stride 4, with one 3x3 convolution and some blocks per level.

    Args:
        channels: stride -> channels of the encoder's stage.
        width: channels d of the pyramid.
        blocks: residual blocks at every stride above 4.
    """

    def __init__(self, channels: dict[int, int], width: int, blocks: int = 0) -> None:
        super().__init__()
        self.strides = sorted(channels, reverse=True)
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(channels[s], width, 1) for s in self.strides})
        self.smooth = nn.ModuleDict({str(s): _smooth(width, s) for s in self.strides})
        self.blocks = nn.ModuleDict(
            {str(s): nn.Sequential(*(ResidualBlock(width) for _ in range(blocks))) for s in self.strides[:-1]}
        )

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
            level = self.smooth[str(stride)](level)
            above = pyramid[stride] = level if stride == self.strides[-1] else self.blocks[str(stride)](level)
        return pyramid[self.strides[-1]], pyramid


def resized(maps: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, h, w) bilinearly to what its stride is of an image of that size, if it is not."""
    target = (size[0] // stride, size[1] // stride)
    if maps.shape[-2:] == target:
        return maps
    return F.interpolate(maps, size=target, mode="bilinear", align_corners=False)
