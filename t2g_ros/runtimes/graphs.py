"""The network's two functions as modules of plain tensors, the form in which engines import them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t2g_ros.model.features import feature_shapes, frame_names, memory_names
from t2g_ros.model.time2general import Time2General, resolve
from t2g_ros.runtimes.base import SLOT_AXIS, buffer_shape


class EncodeGraph(nn.Module):
    """(1, H, W, 3) uint8 RGB -> a frame's features in the order of `feature_shapes`, with B = 1."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        features = self.network.encode(rgb.permute(0, 3, 1, 2).float())
        return tuple(features[name] for name in feature_shapes(self.network.config))


class ScoresGraph(nn.Module):
    """Features of the segmented frame, clip buffers, both ordered as `feature_shapes`, seconds, valid -> scores.

    With `whole`, also what `written_back_names` of the frame becomes.
    """

    def __init__(self, network: Time2General, *, whole: bool = False) -> None:
        super().__init__()
        self.network = network
        self.whole = whole

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        *features, offsets_s, valid = arguments
        config = self.network.config
        names, own = memory_names(config), len(frame_names(config))
        frame = dict(zip(frame_names(config), features[:own], strict=True))
        buffers = zip(names, features[own:], strict=True)
        memory = {name: buffer.movedim(SLOT_AXIS.get(name, 1), 1) for name, buffer in buffers}
        decoded, after = self.network.segment(frame, memory, offsets_s, valid)
        return decoded.scores, *(after.values() if self.whole else ())


class DecodeGraph(nn.Module):
    """The arguments of `ScoresGraph` -> labels and confidence of `resolve`, and what the frame's part becomes."""

    def __init__(self, network: Time2General) -> None:
        super().__init__()
        self.scores = ScoresGraph(network, whole=True)

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        scores, *written_back = self.scores(*arguments)
        return *resolve(scores), *written_back


GRAPHS = {"encode": EncodeGraph, "decode": DecodeGraph, "scores": ScoresGraph}


def example_inputs(network: Time2General, name: str) -> tuple[Tensor, ...]:
    """Inputs of the right shapes for one of `GRAPHS`."""
    c = network.config
    if name == "encode":
        return (torch.zeros(1, *c.input_size, 3, dtype=torch.uint8),)
    shapes = feature_shapes(c)
    frame = [torch.zeros(1, *shapes[name]) for name in frame_names(c)]
    memory = [torch.zeros(buffer_shape(name, shapes[name], c.slots)) for name in memory_names(c)]
    return (*frame, *memory, torch.zeros(1, c.slots), torch.ones(1, c.slots))
