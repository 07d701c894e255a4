"""The clips of one training step, a pure function of (seed, step), so that a resumed run repeats nothing."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2g_ros.labels import space
from t2g_ros.training.augment import TrainClip, augment_clip
from t2g_ros.training.clips import ClipSource, RenderedClips, StillClips, VideoClips
from t2g_ros.training.config import ConfigError, SourceConfig, TrainConfig
from t2g_ros.training.datasets import LabelledFolder
from t2g_ros.training.synthetic import render_clip

WEIGHT_CLIPS = 60
"""Clips drawn from each source to measure how common its classes are."""


def build_source(config: SourceConfig, base: Path) -> ClipSource:
    """Open one source of clips; relative paths start at `base`.

    Raises:
        ConfigError: the kind is unknown.
        InputError: the folder is not as described.
    """
    if config.kind == "rendered":
        return RenderedClips(render_clip, config.styles, config.seeds)
    if config.kind not in ("video", "stills"):
        raise ConfigError(f"source kind '{config.kind}': expected video, stills or rendered")
    fps = config.video_fps if config.kind == "video" else 0.0
    folder = LabelledFolder(base / config.path, space(config.labels), keep=config.keep, video_fps=fps)
    return VideoClips(folder) if config.kind == "video" else StillClips(folder)


class Batches:
    """Draws the clips of any step and prepares the next step's in the background."""

    def __init__(self, config: TrainConfig, base: Path) -> None:
        self.config = config
        self.sources = [build_source(s, base) for s in config.sources]
        weights = np.array([s.weight for s in config.sources], dtype=float)
        self.shares = weights / weights.sum()
        self.weights = self._class_weights()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="clips")
        self._next: tuple[int, Future[list[TrainClip]]] | None = None

    def _draw(self, source: ClipSource, rng: np.random.Generator) -> TrainClip:
        raw = source.clip(rng, self.config.frames_per_clip)
        return augment_clip(raw, self.config.model.input_size, self.config.augment, rng)

    def _clips(self, step: int) -> list[TrainClip]:
        rng = np.random.default_rng((self.config.seed, step))
        picks = rng.choice(len(self.sources), self.config.clips_per_step, p=self.shares)
        return [self._draw(self.sources[pick], rng) for pick in picks]

    def clips(self, step: int) -> list[TrainClip]:
        """The clips of `step`; asking in order keeps the worker one step ahead."""
        ready = self._next is not None and self._next[0] == step
        clips = self._next[1].result() if self._next is not None and ready else self._clips(step)
        self._next = (step + 1, self._worker.submit(self._clips, step + 1))
        return clips

    def images(self, step: int) -> Tensor:
        """All images of a step, (B * T, 3, h, w) float in 0..255."""
        return to_images(self.clips(step))

    def _class_weights(self) -> dict[str, Tensor]:
        """Per label space: 1 / sqrt(share of pixels), scaled to a pixel mean of 1, at most 8."""
        counts: dict[str, np.ndarray] = {}
        rng = np.random.default_rng((self.config.seed, 2**31))
        for source in self.sources:
            total = counts.setdefault(source.space.name, np.zeros(256))
            for _ in range(WEIGHT_CLIPS):
                total += np.bincount(self._draw(source, rng).labels[:1].ravel(), minlength=256)
        weights = {}
        for name, total in counts.items():
            share = total[: len(space(name))] / max(total[: len(space(name))].sum(), 1)
            raw = 1.0 / np.sqrt(np.maximum(share, 1e-4))
            raw /= max((raw * share).sum(), 1e-9)
            weights[name] = torch.from_numpy(np.minimum(raw, 8.0)).float()
        return weights

    def close(self) -> None:
        """Stop the worker."""
        self._worker.shutdown(cancel_futures=True)


def to_images(clips: list[TrainClip]) -> Tensor:
    """(B * T, 3, h, w) float in 0..255, clip after clip."""
    stacked = torch.from_numpy(np.concatenate([c.images for c in clips]))
    return stacked.permute(0, 3, 1, 2).float()  # stays channels-last in memory, which CPUs prefer
