"""The network's two functions as modules of plain tensors, the form in which engines import them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t2g_ros.model.time2general import Time2General, resolve
from t2g_ros.runtimes.base import feature_shapes


class EncodeGraph(nn.Module):
    """(1, H, W, 3) uint8 RGB -> a frame's features in the order of `feature_shapes`, with B = 1."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        features = self.network.encode(rgb.permute(0, 3, 1, 2).float())
        return tuple(features[name] for name in feature_shapes(self.network.config))


class ScoresGraph(nn.Module):
    """Mask features of the segmented frame, the memory in the order of `feature_shapes`, seconds, valid -> scores."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.network = network

    def forward(self, mask_features: Tensor, *rest: Tensor) -> Tensor:
        *memory, offsets_s, valid = rest
        _, *names = feature_shapes(self.network.config)
        return self.network.decode(mask_features, dict(zip(names, memory, strict=True)), offsets_s, valid).scores


class DecodeGraph(nn.Module):
    """The arguments of `ScoresGraph` -> labels and confidence of `resolve`."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.scores = ScoresGraph(network)

    def forward(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        return resolve(self.scores(*arguments))


GRAPHS = {"encode": EncodeGraph, "decode": DecodeGraph, "scores": ScoresGraph}


def example_inputs(network: Time2General, name: str) -> tuple[Tensor, ...]:
    """Inputs of the right shapes for one of `GRAPHS`."""
    c = network.config
    if name == "encode":
        return (torch.zeros(1, *c.input_size, 3, dtype=torch.uint8),)
    mask_features, *rest = feature_shapes(c).values()
    memory = [torch.zeros(1, c.slots, *shape) for shape in rest]
    times = [torch.zeros(1, c.slots), torch.ones(1, c.slots)]
    return (torch.zeros(1, *mask_features), *memory, *times)
