"""The training config: one YAML file, every key of it checked, single keys overridable on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from t2g_ros.errors import T2GError
from t2g_ros.model.config import ModelConfig
from t2g_ros.training.augment import AugmentConfig

PRECISIONS = ("auto", "f32", "bf16")


class ConfigError(T2GError):
    """A training config names an unknown key or holds a value of the wrong kind."""


@dataclass(frozen=True)
class SourceConfig:
    """One source of clips."""

    kind: str
    """`video`, `stills` or `rendered`."""
    weight: float
    """Share of the clips drawn from it, relative to the other sources."""
    path: str = ""
    """Folder with images/ and labels/, relative to the config file; not for `rendered`."""
    labels: str = "cityscapes19"
    """Label space of the folder."""
    keep: tuple[int, int] | None = None
    """Half-open range of images, in name order, that is used."""
    video_fps: float = 30.0
    """Rate at which the numbers in the file names of a `video` count."""
    styles: tuple[str, ...] = ("day", "dusk", "night", "rain", "fog")
    """Domains of `rendered` drives."""
    seeds: tuple[int, int] = (1000, 2000)
    """Half-open range of seeds of `rendered` drives."""


@dataclass(frozen=True)
class ValidationConfig:
    """A labelled folder that is watched during training and never trained on."""

    path: str
    labels: str
    every_nth: int = 5
    """Use one image in so many."""
    keep: tuple[int, int] | None = None
    """Half-open range of images, in name order."""


@dataclass(frozen=True)
class TrainConfig:
    """A whole training run."""

    model: ModelConfig
    sources: tuple[SourceConfig, ...]
    validation: tuple[ValidationConfig, ...] = ()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    imagenet: str = ""
    """`.npz` of the encoder's ImageNet weights, relative to the config file; "" starts from scratch."""
    init: str = ""
    """Weights file of an earlier run to start from instead, relative to the config file; tensors that do not fit start
    anew."""
    steps: int = 2600
    clips_per_step: int = 3
    frames_per_clip: int = 3
    lr: float = 1e-3
    """Peak learning rate of everything else."""
    encoder_lr: float = 2e-4
    """Peak learning rate of the encoder's ImageNet-initialised trunk."""
    weight_decay: float = 0.02
    warmup_steps: int = 100
    power: float = 0.9
    """Exponent of the polynomial decay."""
    grad_clip: float = 5.0
    """Largest norm of the gradient."""
    average: float = 0.998
    """Decay of the exponential moving average of the weights, which is what is validated and saved."""
    dice_weight: float = 1.0
    auxiliary_weight: float = 0.5
    """Weight of the segmentation loss after each decoder layer but the last."""
    presence_weight: float = 0.2
    consistency_weight: float = 1.0
    """Masked temporal consistency between frames of a clip."""
    stride_consistency_weight: float = 0.5
    """Consistency between two predictions of one frame from differently sampled memories."""
    memory_drop: float = 0.3
    """Probability that a past frame is left out of the memory: the random strides of a live clip."""
    validate_every: int = 400
    checkpoint_every: int = 100
    seed: int = 0
    threads: int = 0
    """CPU threads of torch; 0 takes them all."""
    precision: str = "auto"
    """`f32`, `bf16` (autocast; weights and losses stay f32), or `auto`: bf16 where the CPU multiplies it natively."""


def _build(kind: type, values: Any, where: str) -> Any:
    """Make a flat config dataclass of a mapping; lists become tuples."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: found {values!r}, expected a mapping")
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown key(s) {unknown}; known keys are {sorted(known)}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def load_train_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a config and apply `key=value` overrides (dots reach into sections, values are YAML).

    Raises:
        ConfigError: the file, a key or a value is wrong; the message names it.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"training config {path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"training config {path}: found {type(values).__name__}, expected a mapping")
    for override in overrides or []:
        key, sep, text = override.partition("=")
        if not sep:
            raise ConfigError(f"override '{override}': expected key=value")
        *sections, last = key.split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"override '{override}': '{section}' is not a section")
        target[last] = yaml.safe_load(text)
    where = f"training config {path}"
    values["model"] = ModelConfig.from_dict(values.get("model", {}), f"{where}, model")
    values["augment"] = _build(AugmentConfig, values.get("augment", {}), f"{where}, augment")
    for key, kind in (("sources", SourceConfig), ("validation", ValidationConfig)):
        items = values.get(key, [])
        if not isinstance(items, list):
            raise ConfigError(f"{where}: {key} is {items!r}, expected a list")
        values[key] = tuple(_build(kind, item, f"{where}, {key}[{i}]") for i, item in enumerate(items))
    config: TrainConfig = _build(TrainConfig, values, where)
    if config.precision not in PRECISIONS:
        raise ConfigError(f"{where}: precision is {config.precision!r}, expected one of {', '.join(PRECISIONS)}")
    if not config.sources:
        raise ConfigError(f"{where}: 'sources' is empty; name at least one")
    for f in fields(TrainConfig):
        value = getattr(config, f.name)
        if isinstance(f.default, (int, float)) and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ConfigError(f"{where}: {f.name} is {value!r}, expected a number")
    return config
