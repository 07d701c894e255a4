"""The config of a network, read from the YAML file that lies beside its weights."""

from __future__ import annotations

from dataclasses import InitVar, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from t2g_ros.errors import ModelError
from t2g_ros.labels import SPACES


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
    clip_frames: int = 5
    """T, the frames a decode looks at, the segmented one included."""

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
        for key in (
            "width",
            "query_rank",
            "decoder_layers",
            "heads",
            "pixel_key_width",
            "pixel_value_width",
            "clip_frames",
        ):
            expect(getattr(self, key) >= 1, key, "at least 1")
        expect(self.width % self.heads == 0, "width", f"a multiple of heads, {self.heads}")
        classes = len(SPACES[self.labels])
        expect(self.queries > classes, "queries", f"more than the {classes} classes of {self.labels}, for the sink")
        known = (4, 8, 16, 32, 64)
        expect(
            bool(self.memory_strides) and set(self.memory_strides) <= set(known), "memory_strides", f"some of {known}"
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str = "model config") -> ModelConfig:
        """Build a config; unknown keys and wrong types raise `ModelError` naming `origin` and the key."""
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ModelError(f"{origin}: unknown key(s) {unknown}; known keys are {sorted(known)}")
        clean: dict[str, Any] = {}
        for key, value in values.items():
            default = known[key].default
            if isinstance(default, tuple):
                if not isinstance(value, (list, tuple)) or not all(type(v) is int for v in value):
                    raise ModelError(f"{origin}: {key} is {value!r}, expected a list of integers")
                value = tuple(value)
            elif type(value) is not type(default):
                raise ModelError(f"{origin}: {key} is {value!r}, expected {type(default).__name__}")
            clean[key] = value
        return cls(**clean, origin=origin)

    @classmethod
    def load(cls, path: Path) -> ModelConfig:
        """Read a YAML file.

        Raises:
            ModelError: the file is missing, not a YAML mapping, or holds an unknown key or a value out of range.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ModelError(f"model config {path}: cannot be read ({error})") from error
        if not isinstance(values, dict):
            raise ModelError(f"model config {path}: found {type(values).__name__}, expected a mapping")
        return cls.from_dict(values, f"model config {path}")

    def save(self, path: Path) -> None:
        """Write the YAML file that `load` reads."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
