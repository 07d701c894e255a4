"""Time2General as two pure functions, `encode` once per frame and `decode` once per output."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.labels import space
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.encoder import MobileNetV2Encoder
from t2g_ros.model.memory_decoder import MemoryDecoder
from t2g_ros.model.pixel_decoder import PixelDecoder
from t2g_ros.model.pixel_memory import PixelMemory
from t2g_ros.model.stability_queries import StabilityModulation, StabilityQueries

OUTPUT_STRIDE = 2
"""Stride of the labels: scores are raised from stride 4 before the argmax, so thin things keep their edge."""


FrameFeatures = dict[str, Tensor]
"""All that is kept of one frame; nothing in it depends on any other frame or on the time.

`mask_features`: (B, H/4, W/4, d), channels last, as engines keep it inside. The rest is the frame's part of the memory:
`keys`, `values`: (B, heads, N, d / heads) tokens of all memory levels, which the queries read;
`queries`: (B, Q, d) stability queries after they read this frame;
`pixel_keys`, `pixel_values`: (B, W, n, dk) and (B, W, n, 4 dv), which the pixels read (`PixelMemory`).
"""


class DecodedClip(NamedTuple):
    """Scores of the segmented frame."""

    scores: Tensor
    """(B, K, H/4, W/4) class scores (logits)."""
    class_logits: Tensor
    """(B, K) log-odds that a class is in the clip."""


class Time2General(nn.Module):
    """The network (arXiv 2602.09648), with this project's encoder seam and streaming form."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.classes = len(space(config.labels))
        width = config.width
        self.encoder = MobileNetV2Encoder()
        channels = self.encoder.channels
        self.queries = StabilityQueries(config.queries, width, config.query_rank, len(self.encoder.trunk))
        self.modulation = nn.ModuleDict(
            {stride: StabilityModulation(channels[int(stride)], width) for stride in self.encoder.trunk}
        )
        self.query_out = nn.Linear(3 * width, width)
        self.pixel_decoder = PixelDecoder(channels, width)
        self.level = nn.Parameter(torch.randn(len(config.memory_strides), width) * 0.02)
        self.position = nn.Linear(4, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.memory_decoder = MemoryDecoder(self.classes, width, config.heads, config.decoder_layers)
        self.pixel_memory = (
            PixelMemory(width, config.pixel_key_width, config.pixel_value_width) if config.pixel_memory else None
        )

    def encode(self, image: Tensor) -> FrameFeatures:
        """Encode frames, each on its own.

        Args:
            image: (B, 3, H, W) RGB in 0..255, H and W multiples of 64.
        """
        stages, x = self.encoder.forward_stem(image / 127.5 - 1.0)
        read: list[Tensor] = []
        for stride, stage in self.encoder.trunk.items():
            x, queries = self.modulation[stride](stage(x), self.queries(len(read)))
            read.append(queries)
            stages[int(stride)] = x
        mask_features, pyramid = self.pixel_decoder(stages)
        # The decoder's queries: maximum, mean and last over the layers (Rein's link, arXiv 2312.04265).
        layers = torch.stack(read)
        queries = self.query_out(torch.cat([layers.amax(0), layers.mean(0), layers[-1]], dim=-1))
        keys, values = self._memory_tokens(pyramid)
        mask_features = mask_features.permute(0, 2, 3, 1)
        features = {
            "mask_features": mask_features,
            "keys": keys,
            "values": values,
            "queries": queries,
        }
        if self.pixel_memory is not None:
            features["pixel_keys"], features["pixel_values"] = self.pixel_memory.remember(mask_features)
        return features

    def _memory_tokens(self, pyramid: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
        keys, values = [], []
        for index, stride in enumerate(self.config.memory_strides):
            level = pyramid[stride]
            tokens = level.flatten(2).transpose(1, 2)  # (B, N, d)
            where = self.position(_grid(level.shape[-2], level.shape[-1]).to(level))  # (N, d)
            keys.append(self.key(tokens + where + self.level[index]))
            values.append(self.value(tokens))
        heads = (self.config.heads, -1)
        return (
            torch.cat(keys, dim=1).unflatten(-1, heads).transpose(1, 2),
            torch.cat(values, dim=1).unflatten(-1, heads).transpose(1, 2),
        )

    def decode_layers(
        self, mask_features: Tensor, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor
    ) -> list[DecodedClip]:
        """Scores after every decoder layer, for the auxiliary losses; arguments as of `decode`."""
        if self.pixel_memory is not None:
            mask_features = self.pixel_memory.read(
                mask_features, memory["pixel_keys"], memory["pixel_values"], offsets_s, valid
            )
        # One set of queries for the clip: the mean over its frames, so none of them can swing it alone.
        weight = (valid / valid.sum(dim=1, keepdim=True))[..., None, None]
        clip_queries = self.queries.shared + (memory["queries"] * weight).sum(dim=1)
        outputs = []
        for masks, logits in self.memory_decoder(clip_queries, memory["keys"], memory["values"], offsets_s, valid):
            scores = torch.einsum("bkd,bhwd->bkhw", masks, mask_features) * self.config.width**-0.5
            # Mask2Former multiplies class and mask probabilities; in logits that is a sum.
            outputs.append(DecodedClip(scores + F.logsigmoid(logits)[..., None, None], logits))
        return outputs

    def decode(self, mask_features: Tensor, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor) -> DecodedClip:
        """Segment one frame of each clip; the order of the T slots does not matter.

        Args:
            mask_features: (B, H/4, W/4, d) of the segmented frame.
            memory: features of all frames in memory, the segmented one among them, with an axis T after B;
                their `mask_features` are not read and may be left out.
            offsets_s: (B, T) seconds of each frame relative to the segmented one, negative for the past.
            valid: (B, T), 1 where the slot holds a frame, 0 where it is to be ignored.
        """
        return self.decode_layers(mask_features, memory, offsets_s, valid)[-1]

    def forward(self, clip: Tensor, times_s: Tensor, reference: int = -1) -> DecodedClip:
        """Segment frame `reference` of whole clips (B, T, 3, H, W) taken at (B, T) seconds."""
        batch, frames = clip.shape[:2]
        features = {k: f.unflatten(0, (batch, frames)) for k, f in self.encode(clip.flatten(0, 1)).items()}
        offsets_s = times_s - times_s[:, reference : reference + 1 or None]
        return self.decode(features["mask_features"][:, reference], features, offsets_s, torch.ones_like(offsets_s))


def resolve(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Turn scores (B, K, H/4, W/4) into labels (B, H/2, W/2) and confidence (B, H/4, W/4), both uint8.

    Labels are the argmax of the raised scores, so that edges are finer than the scores' grid; confidence,
    the winning class's probability with 255 = certain, is smooth enough to stay on it.
    """
    best = scores.amax(dim=1)
    confidence = 1.0 / (scores - best[:, None]).exp().sum(dim=1)
    raised = F.interpolate(scores, scale_factor=4 / OUTPUT_STRIDE, mode="bilinear", align_corners=False)
    return raised.argmax(dim=1).to(torch.uint8), (confidence * 255.0).round().to(torch.uint8)


def _grid(height: int, width: int) -> Tensor:
    """Coordinates of a token grid as smooth features, (height * width, 4): y, x and their squares."""
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width)[None, :].expand(height, width)
    return torch.stack([y, x, y * y, x * x], dim=-1).reshape(-1, 4)
