"""The sections of a model config, and how a mapping of a YAML file becomes a dataclass whose every key is checked."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, fields, is_dataclass
from itertools import pairwise
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

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
        for key in ("layers", "heads", "points"):
            if getattr(self, key) < 1:
                raise ModelError(f"{origin}: {key} is {getattr(self, key)}, expected at least 1")


Section = TypeVar("Section")


def from_mapping(kind: type[Section], values: Any, origin: str) -> Section:
    """Build a dataclass of the values that a YAML file holds.

    Args:
        kind: its fields are strings, whole numbers, switches, tuples of whole numbers, mappings, or dataclasses; it
            checks their values itself, and takes `origin`, too.
        values: what was read.
        origin: what an error names as the place of a bad value.

    Raises:
        ModelError: the values are no mapping, or a key is unknown or of another type; names `origin` and the key.
    """
    if not isinstance(values, dict):
        raise ModelError(f"{origin}: found {type(values).__name__}, expected a mapping")
    known = sorted(f.name for f in fields(kind))  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in values.keys() - set(known))
    if unknown:
        raise ModelError(f"{origin}: unknown key(s) {unknown}; known keys are {known}")
    hints = get_type_hints(kind)
    checked = {key: _checked(hints[key], value, origin, key) for key, value in values.items()}
    return kind(**checked, **{"origin": origin})


def _checked(hint: Any, value: Any, origin: str, key: str) -> Any:
    if NoneType in get_args(hint):
        if value is None:
            return None
        (hint,) = (option for option in get_args(hint) if option is not NoneType)
    if is_dataclass(hint):
        return from_mapping(hint, value, f"{origin}, {key}")  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or not all(type(v) is int for v in value):
            raise ModelError(f"{origin}: {key} is {value!r}, expected a list of integers")
        return tuple(value)
    plain = get_origin(hint) or hint
    if type(value) is not plain:
        raise ModelError(f"{origin}: {key} is {value!r}, expected {plain.__name__}")
    return value
