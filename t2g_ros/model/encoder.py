"""The image encoder: the trunk of `transformers`' MobileNetV2 behind a light stem."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2Model

from t2g_ros.errors import ModelError

TRUNK_CHANNELS = 24
"""Channels where the stem ends and the trunk begins: the output of MobileNetV2's second residual block."""
DETAIL_CHANNELS = 32


class MobileNetV2Encoder(nn.Module):
    """Feature maps at strides 4 (detail), 16, 32 and 64, and 8 (where the trunk begins).

    MobileNetV2 spends more than half of its time on its first layers, wide and at full resolution,
    which only find edges. Here a stem of plain convolutions takes the image to stride 8, where it hands
    over features that the trunk would otherwise see of the image at half its size; it is distilled from
    the layers that it stands in for (`training/distill.py`). What it saw at stride 4 is kept as detail.

    BatchNorm is folded into the convolutions: the ImageNet weights come that way, clips are too
    small a batch for its statistics, and a frame's features must not depend on its neighbours.
    """

    channels: ClassVar = {4: DETAIL_CHANNELS, 8: TRUNK_CHANNELS, 16: 32, 32: 96, 64: 320}

    def __init__(self) -> None:
        super().__init__()
        self.detail = nn.Sequential(*_strided(3, 16), *_strided(16, DETAIL_CHANNELS))
        self.handover = nn.Sequential(*_strided(DETAIL_CHANNELS, 64), nn.Conv2d(64, TRUNK_CHANNELS, 1))
        _, blocks = imagenet_layers()
        # Each stage ends just before the next halving of the resolution.
        self.trunk = nn.ModuleDict({"16": blocks[2:5], "32": blocks[5:12], "64": blocks[12:16]})

    def forward_stem(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] -> strides 4 and 8: (B, 32, H/4, W/4) and (B, 24, H/8, W/8)."""
        detail = self.detail(image)
        return detail, self.handover(detail)

    def load_imagenet(self, path: Path) -> None:
        """Load the trunk from folded ImageNet weights; see `load_folded`."""
        load_folded(self.trunk, path, skip=9)  # 3 layers of the stem, 3 of each of two residual blocks


def _strided(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """3x3 convolution of stride 2, padded as TensorFlow does for even sizes: below and to the right."""
    return nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, outputs, 3, stride=2), nn.ReLU6()


def imagenet_layers() -> tuple[nn.Module, nn.Sequential]:
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


def load_folded(module: nn.Module, path: Path, skip: int) -> None:
    """Load a part of MobileNetV2 from an `.npz` of folded (weight, bias) arrays in layer order.

    Args:
        module: holds the layers, in order.
        path: the file; weights are (out, kh, kw, in), depthwise ones (1, kh, kw, channels).
        skip: convolution layers of the file that come before those of `module`.

    Raises:
        ModelError: the file is missing or an array does not fit its layer; the message names both.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [(name, file[name]) for name in file.files]
    except (OSError, ValueError) as error:
        raise ModelError(f"ImageNet weights {path}: cannot be read ({error})") from error
    layers = _conv_layers(module)
    needed = 2 * (skip + len(layers))
    if len(arrays) < needed:
        raise ModelError(f"ImageNet weights {path}: {len(arrays)} arrays, expected at least {needed}")
    for index, layer in enumerate(layers, start=skip):
        conv = layer.convolution
        conv = conv[-1] if isinstance(conv, nn.Sequential) else conv
        (name, weight), (_, bias) = arrays[2 * index], arrays[2 * index + 1]
        # -> (out, in / groups, kh, kw)
        weight = weight.transpose(3, 0, 1, 2) if conv.groups > 1 else weight.transpose(0, 3, 1, 2)
        if weight.shape != tuple(conv.weight.shape):
            raise ModelError(
                f"ImageNet weights {path}: {name} has shape {weight.shape}, "
                f"layer {index} expects {tuple(conv.weight.shape)}"
            )
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            conv.bias.copy_(torch.from_numpy(bias))


def _conv_layers(module: nn.Module) -> list[nn.Module]:
    """Every conv + norm + activation triple of a MobileNetV2, in order of execution."""
    return [m for m in module.modules() if type(m).__name__ == "MobileNetV2ConvLayer"]


def _fold_batchnorm(layer: nn.Module) -> None:
    """Merge a layer's BatchNorm into its convolution: w' = w g / sqrt(var + eps), b' = beta - mean g / sqrt."""
    conv, norm = layer.convolution, layer.normalization
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    conv.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
    conv.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
    layer.normalization = None
