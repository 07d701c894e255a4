"""How training decodes the clips of a batch: from memories with gaps, as random strides leave them."""

from __future__ import annotations

import torch
from torch import Tensor

from t2g_ros.model.features import FRAME_NAMES
from t2g_ros.model.time2general import DecodedClip, FrameFeatures, Time2General


def decode_causally(
    network: Time2General,
    features: FrameFeatures,
    times_s: Tensor,
    drop: float,
    draws: list[torch.Generator],
    references: slice,
) -> list[DecodedClip]:
    """Segment frames of each clip, each with queries of its own from a random part of its past, as in deployment.

    Args:
        network: what decodes.
        features: (B, T, ...) of all frames.
        times_s: (B, T).
        drop: probability that a past frame is left out.
        draws: per clip, draws which ones are.
        references: which of the T frames to segment.

    Returns:
        Per decoder layer, with an axis R of the references after B.
    """
    t = times_s.shape[1]
    past = torch.ones(t, t).tril(-1).to(times_s)
    valid = past * _kept(network, (t, t), drop, draws).to(times_s) + torch.eye(t).to(times_s)
    offsets = times_s[:, None, :] - times_s[:, :, None]  # row r: every frame relative to r
    changes = network.read_in_turn(features, offsets, valid)
    valid, offsets = valid[:, references], offsets[:, references]
    shape = valid.shape[:2]  # (B, R)
    memory = {
        name: f[:, None].expand(*shape, *f.shape[1:]).flatten(0, 1)
        for name, f in features.items()
        if name not in FRAME_NAMES
    }
    frames = {name: f[:, references].flatten(0, 1) for name, f in features.items() if name in FRAME_NAMES}
    change = None if changes is None else changes[:, references].flatten(0, 1)
    layers = network.decode_layers(frames, memory, offsets.flatten(0, 1), valid.flatten(0, 1), change)
    return [DecodedClip(*(x.float().unflatten(0, shape) for x in layer)) for layer in layers]


def decode_sets(
    network: Time2General, features: FrameFeatures, times_s: Tensor, drop: float, draws: list[torch.Generator]
) -> list[DecodedClip]:
    """Segment all frames of each clip with one set of queries, those of its newest frame.

    A query that is matched with a class is so for the whole clip (Mask2Former-VIS, arXiv 2112.10764).

    Args and Returns: as of `decode_causally`, with all T frames for references and one set of class logits per clip.
    """
    valid = _kept(network, (times_s.shape[1],), drop, draws).to(times_s)
    valid[:, -1] = 1.0
    layers = network.decode_clip(features, times_s - times_s[:, -1:], valid)
    return [DecodedClip(*(x.float() for x in layer)) for layer in layers]


def _kept(network: Time2General, shape: tuple[int, ...], drop: float, draws: list[torch.Generator]) -> Tensor:
    """(B, *shape) bool: which frames stay in memory; none where the network has no memory."""
    random = torch.stack([torch.rand(shape, generator=draw) for draw in draws])
    return (random >= drop) & network.config.memory
