"""The network's two functions as modules of plain tensors, the form in which engines import them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t2g_ros.model.time2general import Time2General, resolve
from t2g_ros.runtimes.base import feature_shapes


class EncodeGraph(nn.Module):
    """(1, H, W, 3) uint8 RGB -> mask features, keys, values, queries, each with a leading axis of 1."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.encode(rgb.permute(0, 3, 1, 2).float()))


class DecodeGraph(nn.Module):
    """The arguments of `Time2General.decode` with B = 1 -> labels and confidence of `resolve`."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.network = network

    def forward(self, mask_features: Tensor, keys: Tensor, values: Tensor, queries: Tensor, offsets_s: Tensor,
                valid: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
        scores = self.network.decode(mask_features, keys, values, queries, offsets_s, valid).scores
        return resolve(scores)


def example_inputs(network: Time2General) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs of the right shapes for `EncodeGraph` and `DecodeGraph`."""
    c = network.config
    shapes = feature_shapes(c.width, c.queries, c.heads, c.memory_strides, c.input_size)
    mask_features, *rest = shapes.values()
    rgb = torch.zeros(1, *c.input_size, 3, dtype=torch.uint8)
    memory = [torch.zeros(1, c.clip_frames, *shape) for shape in rest]
    times = [torch.zeros(1, c.clip_frames), torch.ones(1, c.clip_frames)]
    return (rgb,), (torch.zeros(1, *mask_features), *memory, *times)
