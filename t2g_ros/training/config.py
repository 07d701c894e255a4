"""The training config: one YAML file, every key of it checked, single keys overridable on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from t2g_ros.checked import build
from t2g_ros.model.config import ModelConfig
from t2g_ros.training.augment import AugmentConfig
from t2g_ros.training.config_values import ConfigError, override, read_values
from t2g_ros.training.consistency import DIVERGENCES, MASKS, PAIRS
from t2g_ros.training.matcher import SetLossConfig

__all__ = ["ConfigError", "DataConfig", "SourceConfig", "TrainConfig", "ValidationConfig", "load_train_config"]

KINDS = ("video", "stills", "rendered")
CHOICES = {
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "f32", "bf16"),
    "consistency_divergence": tuple(DIVERGENCES),
    "consistency_pairs": PAIRS,
    "consistency_mask": MASKS,
}
AT_LEAST_ONE = (
    "steps",
    "clips_per_step",
    "frames_per_clip",
    "clips_per_render",
    "validate_every",
    "checkpoint_every",
    "workers",
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where labelled images lie, and how."""

    path: str = ""
    """Folder with images/ and labels/, or the root of a data set; relative to the config file."""
    layout: str = "folder"
    """`folder`, or the data set whose official layout is read: `cityscapes`, `kitti360`, `apolloscape`, `camvid11` or
    `camvid32`. A folder is held in memory, a data set is read as needed."""
    sequences: tuple[str, ...] = ("*",)
    """Of a data set: patterns of the names of the sequences that are used, such as `train/*`."""
    labels: str = "cityscapes19"
    """Of a folder: its label space."""
    keep: tuple[int, int] | None = None
    """Of a folder: half-open range of images, in name order, that is used."""
    video_fps: float = 30.0
    """Of a folder: rate at which the numbers in the file names of a video count."""
    sparse: bool = False
    """Of a folder: images of a video without a label file are unlabelled frames instead of an error."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig(DataConfig):
    """One source of clips."""

    kind: str
    """`video`, `stills` (which are given a camera motion) or `rendered`."""
    weight: float
    """Share of the clips drawn from it, relative to the other sources."""
    strides: tuple[int, ...] = ()
    """Strides to draw from: frames of a video, 1/30 s of the others. Empty: 1 to 5 of a video, as Time2General;
    1, 2, 3, 5, 10, 15 of the others."""
    mix: float = 0.0
    """Of `stills`: probability that one side of the image is that of another."""
    paste: float = 0.0
    """Of `stills`: probability that what a rare class covers in another image is pasted in."""
    paste_rendered: float = 0.0
    """Of `stills`: probability that the large vehicles and cycles of a rendered drive are pasted in."""
    styles: tuple[str, ...] = ("day", "dusk", "night", "rain", "fog")
    """Domains of `rendered` drives."""
    seeds: tuple[int, int] = (1000, 2000)
    """Half-open range of seeds of `rendered` drives, and of those that are pasted from."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig(DataConfig):
    """Labelled images that are watched during training and never trained on."""

    every_nth: int = 5
    """Use one labelled image in so many; of a stream, one frame in so many."""
    stream: bool = False
    """Run the frames through the memory, as a live camera's, instead of each alone: also tells mVC8 and flicker."""


@dataclass(frozen=True)
class TrainConfig:
    """A whole training run."""

    model: ModelConfig
    sources: tuple[SourceConfig, ...]
    validation: tuple[ValidationConfig, ...] = ()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    set_loss: SetLossConfig = field(default_factory=SetLossConfig)
    """Loss of a model that matches its queries with classes; without matching, `dice_weight` and so on count."""
    imagenet: str = ""
    """`.npz` of the encoder's ImageNet weights, relative to the config file; "" starts from scratch."""
    init: str = ""
    """Weights file of an earlier run to start from instead, relative to the config file; tensors that do not fit start
    anew."""
    trained: tuple[str, ...] = ()
    """Parts of the network that are trained, such as `[memory_decoder, pixel_memory]`, while the others stay as `init`
    has them; empty: all of it."""
    steps: int = 2600
    clips_per_step: int = 3
    """Of all processes together."""
    frames_per_clip: int = 3
    clips_per_render: int = 1
    """Clips of a step that are cut out of one rendered drive; rendering takes far longer than cutting."""
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
    """Consistency between two predictions of one frame from differently sampled memories; 0 saves the second one."""
    consistency_divergence: str = "symmetric_kl"
    """`symmetric_kl`, `kl` (of the later frame from the earlier), `js` or `l2`; inferred, as the next two."""
    consistency_pairs: str = "adjacent"
    """`adjacent` frames of the clip, or `all` of its frames with each other."""
    consistency_mask: str = "stable"
    """`stable`: where the label is known and the same in both frames; `all`: everywhere."""
    memory_drop: float = 0.3
    """Probability that a past frame is left out of the memory: the random strides of a live clip."""
    rare_class_temperature: float = 0.0
    """Above 0, frames of video and stills are drawn for their rare classes: the lower, the more (DAFormer: 0.01)."""
    validate_every: int = 400
    checkpoint_every: int = 100
    seed: int = 0
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU where there is one. Under torchrun every process takes one."""
    threads: int = 0
    """CPU threads of torch, of each process; 0 takes as many as OMP_NUM_THREADS says, by default one per core that
    `workers` leave."""
    workers: int = 1
    """Processes, beside each that trains, that prepare clips."""
    precision: str = "auto"
    """`f32`, `bf16` (autocast; weights and losses stay f32), or `auto`: bf16 where the hardware multiplies it."""

    def __post_init__(self) -> None:
        for key, known in CHOICES.items():
            if getattr(self, key) not in known:
                raise ConfigError(f"{key} is {getattr(self, key)!r}, expected one of {', '.join(known)}")
        for key in AT_LEAST_ONE:
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} is {getattr(self, key)}, expected at least 1")
        if not self.sources:
            raise ConfigError("'sources' is empty; name at least one")
        for index, source in enumerate(self.sources):
            if source.kind not in KINDS:
                raise ConfigError(f"sources[{index}]: kind is '{source.kind}', expected one of {', '.join(KINDS)}")
            for key in ("mix", "paste", "paste_rendered"):
                if not 0 <= getattr(source, key) <= 1:
                    raise ConfigError(f"sources[{index}]: {key} is {getattr(source, key)}, expected 0 to 1")
            for key in ("mix", "paste_rendered"):
                if getattr(source, key) and source.kind != "stills":
                    raise ConfigError(
                        f"sources[{index}]: {key} is {getattr(source, key)}, expected 0: only stills are pasted into"
                    )
            if source.paste and (source.kind != "stills" or not self.rare_class_temperature):
                raise ConfigError(
                    f"sources[{index}]: paste is {source.paste}, expected 0: only stills are pasted into, and which "
                    "class is rare tells rare_class_temperature, which has to be above 0"
                )


def load_train_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a config and apply `key=value` overrides (dots reach into sections and lists, values are YAML).

    A file with the key `base` is that other file, beside it, with its own keys in place of those there; sections are
    merged key by key, lists replaced.

    Raises:
        ConfigError, ModelError: the file, a key or a value is wrong; the message names it.
    """
    values = read_values(path)
    for text in overrides or []:
        override(values, text)
    where = f"training config {path}"
    values["model"] = ModelConfig.from_dict(values.get("model", {}), f"{where}, model")
    try:
        return build(TrainConfig, values, where, ConfigError)
    except ConfigError as error:
        raise error if str(error).startswith(where) else ConfigError(f"{where}: {error}") from None
