"""The sections of a model config."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from itertools import pairwise
from typing import Any

from t2g_ros.errors import ModelError

ENCODERS = ("mobilenet_v2", "dinov2", "dinov3", "backbone")
PLAIN_TRANSFORMERS = ("dinov2", "dinov3")
PIXEL_DECODERS = ("pyramid", "deformable")


@dataclass(frozen=True)
class EncoderConfig:
    """The image encoder."""

    kind: str = "mobilenet_v2"
    """`mobilenet_v2`; `dinov2` or `dinov3`, plain transformers; `backbone`, Swin, ConvNeXt and their successors."""
    pretrained: str = ""
    """Checkpoint that training starts from: a folder, relative to the training config, or a name on the hub; "" starts
    with random weights. Not read once there are weights, since these hold the encoder's, too, frozen or not."""
    frozen: bool = False
    """Whether the checkpoint's weights stay as they are; Time2General freezes them."""
    taps: tuple[int, ...] = (3, 6, 9, 12)
    """Of a plain transformer: the layers that stand for strides 4, 8, 16 and 32, counted from 1."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """What `transformers` builds the encoder from; training copies it from the checkpoint's config.json."""
    origin: InitVar[str] = "encoder"
    """What an error names as the place of a bad value."""

    def __post_init__(self, origin: str) -> None:
        if self.kind not in ENCODERS:
            raise ModelError(f"{origin}: kind is {self.kind!r}, expected one of {', '.join(ENCODERS)}")
        if self.kind == "mobilenet_v2" and (self.pretrained or self.frozen or self.architecture):
            raise ModelError(
                f"{origin}: pretrained, frozen and architecture are not for mobilenet_v2, which is trained and starts "
                "from the weights that the training config names as 'imagenet'"
            )
        rising = all(0 < a < b for a, b in pairwise(self.taps))
        if self.kind in PLAIN_TRANSFORMERS and not (len(self.taps) == 4 and rising):
            raise ModelError(f"{origin}: taps is {list(self.taps)}, expected four rising layers, counted from 1")


@dataclass(frozen=True)
class DepthConfig:
    """The frozen depth encoder, of the image encoder's layers and width."""

    pretrained: str = ""
    """Checkpoint of Depth Anything V2 or of a plain DINOv2; as `EncoderConfig.pretrained`."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """As `EncoderConfig.architecture`."""
    origin: InitVar[str] = "depth"


@dataclass(frozen=True)
class TextConfig:
    """What a frozen CLIP text encoder says of the classes; read once, then kept in the weights file."""

    pretrained: str = ""
    """Checkpoint of CLIP with its tokenizer; as `EncoderConfig.pretrained`."""
    template: str = "a street lined with {class}"
    """Prompt of a class (Time2General)."""
    width: int = 0
    """Channels of the text features; training copies it from the checkpoint."""
    origin: InitVar[str] = "text"

    def __post_init__(self, origin: str) -> None:
        if "{class}" not in self.template:
            raise ModelError(f"{origin}: template is {self.template!r}, expected a text with {{class}} in it")


@dataclass(frozen=True)
class PixelDecoderConfig:
    """From encoder features to mask features and memory tokens."""

    kind: str = "pyramid"
    """`pyramid`, light and convolutional, or `deformable`, Mask2Former's."""
    blocks: int = 0
    """Of `pyramid`: residual blocks at every stride above 4, where they see what the coarser strides know."""
    layers: int = 6
    """Of `deformable`: layers of multi-scale deformable attention."""
    heads: int = 8
    """Of `deformable`: attention heads."""
    points: int = 4
    """Of `deformable`: places that a head looks at, per level."""
    origin: InitVar[str] = "pixel_decoder"

    def __post_init__(self, origin: str) -> None:
        if self.kind not in PIXEL_DECODERS:
            raise ModelError(f"{origin}: kind is {self.kind!r}, expected one of {', '.join(PIXEL_DECODERS)}")
        for key, least in (("blocks", 0), ("layers", 1), ("heads", 1), ("points", 1)):
            if getattr(self, key) < least:
                raise ModelError(f"{origin}: {key} is {getattr(self, key)}, expected at least {least}")
