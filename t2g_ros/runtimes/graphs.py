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


class ScoresGraph(nn.Module):
    """The arguments of `Time2General.decode` with B = 1 -> its class scores."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.network = network

    def forward(self, mask_features: Tensor, keys: Tensor, values: Tensor, queries: Tensor, offsets_s: Tensor,
                valid: Tensor) -> Tensor:  # fmt: skip
        return self.network.decode(mask_features, keys, values, queries, offsets_s, valid).scores


class DecodeGraph(nn.Module):
    """The arguments of `Time2General.decode` with B = 1 -> labels and confidence of `resolve`."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.scores = ScoresGraph(network)

    def forward(self, mask_features: Tensor, keys: Tensor, values: Tensor, queries: Tensor, offsets_s: Tensor,
                valid: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
        return resolve(self.scores(mask_features, keys, values, queries, offsets_s, valid))


GRAPHS = {"encode": EncodeGraph, "decode": DecodeGraph, "scores": ScoresGraph}


def example_inputs(network: Time2General, name: str) -> tuple[Tensor, ...]:
    """Inputs of the right shapes for one of `GRAPHS`."""
    c = network.config
    if name == "encode":
        return (torch.zeros(1, *c.input_size, 3, dtype=torch.uint8),)
    shapes = feature_shapes(c.width, c.queries, c.heads, c.memory_strides, c.input_size)
    mask_features, *rest = shapes.values()
    memory = [torch.zeros(1, c.clip_frames, *shape) for shape in rest]
    times = [torch.zeros(1, c.clip_frames), torch.ones(1, c.clip_frames)]
    return (torch.zeros(1, *mask_features), *memory, *times)
