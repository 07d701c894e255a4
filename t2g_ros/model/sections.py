"""The sections of a model config: encoders, pixel decoder, and what an encoder's checkpoint adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("mobilenet_v2", "dinov2", "dinov3", "backbone")
PIXEL_DECODERS = ("pyramid", "deformable")
VIT_KINDS = ("dinov2", "dinov3")


@dataclass(frozen=True)
class EncoderConfig:
    """The image encoder."""

    kind: str = "mobilenet_v2"
    """`mobilenet_v2`; `dinov2` or `dinov3`, plain transformers; `backbone`, Swin, ConvNeXt and their successors."""
    pretrained: str = ""
    """Checkpoint that training starts from: a folder, relative to the training config, or a name on the hub. "" starts
    with random weights. Not read once there are weights: these hold the encoder's too, frozen or not."""
    frozen: bool = False
    """Whether the checkpoint's weights stay as they are; Time2General freezes them."""
    taps: tuple[int, ...] = (3, 6, 9, 12)
    """Of a plain transformer: the layers that stand for strides 4, 8, 16 and 32, counted from 1."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """What `transformers` builds the encoder from; training copies it from the checkpoint's config.json."""


@dataclass(frozen=True)
class DepthConfig:
    """The frozen depth encoder, of the image encoder's layers and width."""

    pretrained: str = ""
    """Checkpoint of Depth Anything V2 or of a plain DINOv2; as `EncoderConfig.pretrained`."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """As `EncoderConfig.architecture`."""


@dataclass(frozen=True)
class TextConfig:
    """What a frozen CLIP text encoder says of the classes; read once, then kept in the weights file."""

    pretrained: str = ""
    """Checkpoint of CLIP with its tokenizer; as `EncoderConfig.pretrained`."""
    template: str = "a street lined with {class}"
    """Prompt of a class (Time2General)."""
    width: int = 0
    """Channels of the text features; training copies it from the checkpoint."""


@dataclass(frozen=True)
class PixelDecoderConfig:
    """From encoder features to mask features and memory tokens."""

    kind: str = "pyramid"
    """`pyramid`, light and convolutional, or `deformable`, Mask2Former's."""
    layers: int = 6
    """Of `deformable`: layers of multi-scale deformable attention."""
    heads: int = 8
    """Of `deformable`: attention heads."""
    points: int = 4
    """Of `deformable`: places that a head looks at, per level."""
