"""The config of a network, read from the YAML file that lies beside its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from t2g_ros.errors import ModelError


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
    clip_frames: int = 5
    """T, the frames a decode looks at, the segmented one included."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ModelError(f"model config: width {self.width} is not a multiple of heads {self.heads}")
        if any(side <= 0 or side % 64 for side in self.input_size):
            raise ModelError(f"model config: input_size {list(self.input_size)} must be positive multiples of 64")
        if self.clip_frames < 1:
            raise ModelError(f"model config: clip_frames is {self.clip_frames}, expected at least 1")

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
        return cls(**clean)

    @classmethod
    def load(cls, path: Path) -> ModelConfig:
        """Read a YAML file.

        Raises:
            ModelError: the file is missing, not a YAML mapping, or holds unknown keys.
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
