"""The image encoder: `transformers`' MobileNetV2 on the half-size image, and a light branch for detail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2Model

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.base import Encoder, Modulate

DETAIL_CHANNELS = 32
FINE_CHANNELS = 64


class MobileNetV2Encoder(Encoder):
    """Feature maps at strides 4 (detail), 8, 16, 32 and 64.

    MobileNetV2 spends more than half of its time on its first layers, wide and at full resolution,
    which only find edges. So it is given the image at half its size, and a light branch of plain convolutions
    looks at the full one for the detail that this loses (two paths, as in ICNet, arXiv 1704.08545, and BiSeNet,
    arXiv 1808.00897). What it finds at stride 8 also enters the trunk, so that small things reach the deep layers.

    BatchNorm is folded into the convolutions: the ImageNet weights come that way, clips are too
    small a batch for its statistics, and a frame's features must not depend on its neighbours.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = {"16": 32, "32": 96, "64": 320}
        self.channels = {4: DETAIL_CHANNELS, 8: 24 + FINE_CHANNELS, 16: 32, 32: 96, 64: 320}
        self.detail = nn.Sequential(*_strided(3, 16), *_strided(16, DETAIL_CHANNELS))
        self.fine = nn.Sequential(
            *_strided(DETAIL_CHANNELS, FINE_CHANNELS), _Residual(FINE_CHANNELS), _Residual(FINE_CHANNELS)
        )
        self.inject = nn.Conv2d(FINE_CHANNELS, 24, 1, bias=False)
        nn.init.zeros_(self.inject.weight)  # untrained, the trunk sees what ImageNet taught it to see
        stem, blocks = imagenet_layers()
        _see_half_size(stem.first_conv)
        self.stem = nn.Sequential(stem, blocks[:2])
        # Each stage ends just before the next halving of the resolution.
        self.trunk = nn.ModuleDict({"16": blocks[2:5], "32": blocks[5:12], "64": blocks[12:16]})

    def forward(self, image: Tensor, modulate: Modulate | None = None) -> dict[int, Tensor]:
        """See `Encoder`; the features that are modulated are the trunk's maps at strides 16, 32 and 64."""
        stages, x = self.forward_stem(image / 127.5 - 1.0)
        for layer, (stride, stage) in enumerate(self.trunk.items()):
            x = stage(x)
            if modulate is not None:
                x = modulate(layer, x)
            stages[int(stride)] = x
        return stages

    def forward_stem(self, image: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Look at the image at full and at half size.

        Args:
            image: (B, 3, H, W) in [-1, 1].

        Returns:
            Features at strides 4 and 8, of 32 and 88 channels, and the trunk's input (B, 24, H/8, W/8).
        """
        detail, stem = self.detail(image), self.stem(image)
        fine = self.fine(detail)
        return {4: detail, 8: torch.cat([stem, fine], dim=1)}, stem + self.inject(fine)

    def load_imagenet(self, path: Path) -> None:
        """Load all but the detail branch from folded ImageNet weights; see `load_folded`."""
        load_folded(nn.ModuleList([self.stem, self.trunk]), path)


def _strided(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """3x3 convolution of stride 2, padded as TensorFlow does for even sizes: below and to the right."""
    return nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, outputs, 3, stride=2), nn.ReLU6()


class _Residual(nn.Module):
    """x + ReLU(conv3x3(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.conv(x))


def _see_half_size(layer: Any) -> None:
    """Let a 3x3 convolution of stride 2 see its image averaged down by 2: as one of 6x6 and stride 4, which costs less.

    A copy of the image at half size would cost engines more than all of the detail branch.
    """
    outputs = layer.convolution[-1].out_channels
    layer.convolution = nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), nn.Conv2d(3, outputs, 6, stride=4))


def imagenet_layers() -> tuple[Any, nn.Sequential]:
    """MobileNetV2's stem and its 16 residual blocks, with BatchNorm folded into the convolutions."""
    # The explicit padding of `tf_padding` copies every feature map; only the strided convolutions
    # really need TensorFlow's lopsided one.
    net = MobileNetV2Model(MobileNetV2Config(tf_padding=False), add_pooling_layer=False)
    for layer in _conv_layers(net):
        _fold_batchnorm(layer)
        conv = layer.convolution
        if conv.stride[0] == 2:
            conv.padding = (0, 0)
            layer.convolution = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv)
    return net.conv_stem, nn.Sequential(*net.layer)


def load_folded(module: nn.Module, path: Path) -> None:
    """Load MobileNetV2, as far as `module` has it, from an `.npz` of folded (weight, bias) arrays in layer order.

    Args:
        module: holds the first layers, in order.
        path: the file; weights are (out, kh, kw, in), depthwise ones (1, kh, kw, channels).

    Raises:
        ModelError: the file is missing or an array does not fit its layer; the message names both.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [(name, file[name]) for name in file.files]
    except (OSError, ValueError) as error:
        raise ModelError(f"ImageNet weights {path}: cannot be read ({error})") from error
    layers = _conv_layers(module)
    needed = 2 * len(layers)
    if len(arrays) < needed:
        raise ModelError(f"ImageNet weights {path}: {len(arrays)} arrays, expected at least {needed}")
    for index, layer in enumerate(layers):
        conv: Any = layer.convolution
        if isinstance(conv, nn.Sequential):  # padding, convolution
            conv = conv[-1]
        (name, weight), (_, bias) = arrays[2 * index], arrays[2 * index + 1]
        # -> (out, in / groups, kh, kw)
        weight = weight.transpose(3, 0, 1, 2) if conv.groups > 1 else weight.transpose(0, 3, 1, 2)
        if index == 0:  # see _see_half_size
            weight = weight.repeat(2, axis=2).repeat(2, axis=3) / 4
        if weight.shape != tuple(conv.weight.shape):
            raise ModelError(
                f"ImageNet weights {path}: {name} has shape {weight.shape}, "
                f"layer {index} expects {tuple(conv.weight.shape)}"
            )
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            conv.bias.copy_(torch.from_numpy(bias))


def _conv_layers(module: nn.Module) -> list[Any]:
    """Every conv + norm + activation triple of a MobileNetV2, in order of execution."""
    return [m for m in module.modules() if type(m).__name__ == "MobileNetV2ConvLayer"]


def _fold_batchnorm(layer: Any) -> None:
    """Merge a layer's BatchNorm into its convolution: w' = w g / sqrt(var + eps), b' = beta - mean g / sqrt."""
    conv, norm = layer.convolution, layer.normalization
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    conv.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
    conv.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
    layer.normalization = None
