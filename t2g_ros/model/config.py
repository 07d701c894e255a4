"""The config of a network, read from the YAML file that lies beside its weights."""

from __future__ import annotations

import json
from dataclasses import InitVar, asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from t2g_ros.checked import build
from t2g_ros.errors import ModelError
from t2g_ros.labels import SPACES
from t2g_ros.model.files import check_config
from t2g_ros.model.sections import (
    PLAIN_TRANSFORMERS,
    DepthConfig,
    EncoderConfig,
    PixelDecoderConfig,
    TextConfig,
)

ASSIGNMENTS = ("fixed", "hungarian")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that must be known to build a network before its weights are read."""

    name: str = "t2g_tiny"
    """Stem of the weights file."""
    labels: str = "cityscapes19"
    """Label space of the scores, a name in `t2g_ros.labels.SPACES`."""
    input_size: tuple[int, int] = (512, 1024)
    """(height, width) that frames are resized to, multiples of 64."""
    width: int = 64
    """Channels d of queries, memory tokens and mask features."""
    queries: int = 32
    """Stability queries Q: one per class first, then context queries, the last one is the sink."""
    query_rank: int = 16
    """Rank of the per-stage change to the shared queries (Rein's value)."""
    memory_strides: tuple[int, ...] = (16,)
    """Pyramid levels whose tokens go into the clip memory."""
    decoder_layers: int = 2
    """Layers of the spatio-temporal memory decoder."""
    heads: int = 2
    """Attention heads of the memory decoder."""
    pixel_memory: bool = True
    """Whether the pixels of the segmented frame read the memory, too, and not only the queries."""
    pixel_key_width: int = 16
    """Channels of the keys by which pixels find each other."""
    pixel_value_width: int = 8
    """Channels of what a stride-4 pixel remembers."""
    pixel_write_back: bool = False
    """Whether the pixels of a frame stay in memory as what they became by reading it. The memory then reaches back
    beyond the clip, since each frame has read those before it. Not in the paper."""
    clip_frames: int = 5
    """T, the frames a decode looks at, the segmented one included."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    depth: DepthConfig | None = None
    """None for a network that does not look at depth."""
    text: TextConfig | None = None
    """None for a network that does not know what its classes are called."""
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    stability_queries: bool = True
    """Whether queries read and change the encoder's features; if not, the decoder's are learned and no more."""
    memory: bool = True
    """Whether frames before the segmented one are remembered."""
    time_embedding: bool = True
    """Whether the memory tells how long ago a frame was."""
    assignment: str = "fixed"
    """`fixed`: one query per class, its mask being the class's score; `hungarian`: every query has a mask, and a class
    or none, and is matched in training (Mask2Former, arXiv 2112.01527)."""
    masked_attention: bool = False
    """With `hungarian`: whether a query looks only at where the layer before saw its mask, as in Mask2Former. The paper
    does not say."""

    origin: InitVar[str] = "model config"
    """What an error names as the place of a bad value."""

    def __post_init__(self, origin: str) -> None:
        def expect(holds: bool, key: str, expected: str) -> None:
            if not holds:
                raise ModelError(f"{origin}: {key} is {getattr(self, key)!r}, expected {expected}")

        expect(self.labels in SPACES, "labels", f"one of {', '.join(SPACES)}")
        expect(
            len(self.input_size) == 2 and all(side > 0 and side % 64 == 0 for side in self.input_size),
            "input_size",
            "height and width, positive multiples of 64",
        )
        positive = "width query_rank decoder_layers heads pixel_key_width pixel_value_width clip_frames"
        for key in positive.split():
            expect(getattr(self, key) >= 1, key, "at least 1")
        expect(self.width % self.heads == 0, "width", f"a multiple of heads, {self.heads}")
        classes = len(SPACES[self.labels])
        expect(self.queries > classes, "queries", f"more than the {classes} classes of {self.labels}, for the sink")
        strides = (4, 8, 16, 32, 64) if self.encoder.kind == "mobilenet_v2" else (4, 8, 16, 32)
        expect(
            bool(self.memory_strides) and set(self.memory_strides) <= set(strides),
            "memory_strides",
            f"some of {strides}",
        )
        expect(self.assignment in ASSIGNMENTS, "assignment", f"one of {', '.join(ASSIGNMENTS)}")
        expect(
            self.assignment == "hungarian" or not self.masked_attention,
            "masked_attention",
            "false, or assignment: hungarian, since other queries have no mask",
        )
        for key in ("time_embedding", "pixel_memory"):
            expect(self.memory or not getattr(self, key), key, "false where memory is, which it is a part of")
        expect(
            self.pixel_memory or not self.pixel_write_back,
            "pixel_write_back",
            "false where pixel_memory is, whose reading it keeps",
        )
        expect(
            self.assignment == "fixed" or not self.pixel_write_back,
            "pixel_write_back",
            "false with assignment: hungarian, whose clips are trained all at once and not frame after frame",
        )
        for key in ("depth", "text"):
            expect(
                self.stability_queries or getattr(self, key) is None,
                key,
                "null where stability_queries is false, since it is these that read it",
            )
        plain = self.encoder.kind in PLAIN_TRANSFORMERS
        expect(
            self.depth is None or plain,
            "depth",
            f"null for an encoder of kind {self.encoder.kind}, which has no tokens that depth could be matched with",
        )
        if self.pixel_decoder.kind == "deformable":
            heads = self.pixel_decoder.heads
            expect(
                self.width % 32 == 0 and self.width % heads == 0,
                "width",
                f"a multiple of 32 and of pixel_decoder.heads, {heads}, for a deformable pixel decoder",
            )

    @property
    def slots(self) -> int:
        """Frames that the memory holds, the segmented one included."""
        return self.clip_frames if self.memory else 1

    def resized(self, input_size: tuple[int, int] | None, clip_frames: int | None) -> ModelConfig:
        """The config of the same weights at another input size and clip length; None keeps the own one.

        Raises:
            ModelError: a value is out of range.
        """
        size = self.input_size if input_size is None else input_size
        frames = self.clip_frames if clip_frames is None else clip_frames
        return replace(self, input_size=size, clip_frames=frames)

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "model config") -> ModelConfig:
        """Build a config; unknown keys and wrong types raise `ModelError` naming `origin` and the key."""
        return build(cls, values, origin, ModelError)

    @classmethod
    def load(cls, path: Path) -> ModelConfig:
        """Read a YAML file.

        Raises:
            ModelError: the file is missing, too large or not a YAML mapping, or holds an unknown key or a value out of
                range.
        """
        check_config(path)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ModelError(f"model config {path}: cannot be read ({error})") from error
        return cls.from_dict(values, f"model config {path}")

    def save(self, path: Path) -> None:
        """Write the YAML file that `load` reads; sections that are as by default are left out."""
        asides = (None, EncoderConfig(), PixelDecoderConfig())
        kept = {k: v for k, v in asdict(self).items() if getattr(self, k) not in asides}
        lists = json.loads(json.dumps(kept))  # instead of tuples, which YAML knows not
        path.write_text(yaml.safe_dump(lists, sort_keys=False), encoding="utf-8")
