"""The clips of one training step, a pure function of (seed, step, clip), whoever draws them and in whatever order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from t2g_ros.labels import space
from t2g_ros.training.augment import augment_clip
from t2g_ros.training.clip import TrainClip
from t2g_ros.training.clips import ClipSource
from t2g_ros.training.config import ConfigError, TrainConfig

WEIGHT_CLIPS = 60
"""Clips drawn from each source to measure how common its classes are."""
STEPS_AHEAD = 2
"""Steps whose clips are prepared in the background while one is trained on."""


class Batch(NamedTuple):
    """Clips of equal length and size, as tensors."""

    images: Tensor
    """(B, T, 3, h, w) uint8, channels last in memory, which CPUs prefer."""
    labels: Tensor
    """(B, T, h / 2, w / 2) uint8, each clip in its own label space, 255 = ignored."""
    times_s: Tensor
    """(B, T) float32 seconds, rising."""
    spaces: tuple[str, ...]
    """Label space of each clip."""
    seeds: tuple[int, ...]
    """For what the loss draws at random, per clip."""


def to_batch(clips: list[TrainClip]) -> Batch:
    """Put clips together."""
    return Batch(
        images=torch.from_numpy(np.stack([c.images for c in clips])).permute(0, 1, 4, 2, 3),
        labels=torch.from_numpy(np.stack([c.labels for c in clips])),
        times_s=torch.from_numpy(np.stack([c.times_s for c in clips])).float(),
        spaces=tuple(c.space.name for c in clips),
        seeds=tuple(c.seed for c in clips),
    )


class Batches:
    """Draws the clips of any step and prepares those of the next ones in the background.

    Args:
        config: the run.
        sources: of the config's sources, in their order.
        rank, processes: this process trains on its even share of every step's clips.

    Raises:
        ConfigError: the clips of a step cannot be shared evenly.
    """

    def __init__(self, config: TrainConfig, sources: list[ClipSource], rank: int = 0, processes: int = 1) -> None:
        if config.clips_per_step % processes:
            raise ConfigError(
                f"clips_per_step is {config.clips_per_step}, expected a multiple of the {processes} processes"
            )
        self.config = config
        self.sources = sources
        weights = np.array([s.weight for s in config.sources], dtype=float)
        self.shares = weights / weights.sum()
        share = config.clips_per_step // processes
        self.indices = range(rank * share, (rank + 1) * share)
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="clips")
        self._ahead: deque[tuple[int, list[Future[TrainClip]]]] = deque()

    def clip(self, step: int, index: int) -> TrainClip:
        """Draw one clip of a step.

        Raises:
            InputError: a file of it cannot be read; the message names it.
        """
        rng = np.random.default_rng((self.config.seed, step, index))
        source = self.sources[rng.choice(len(self.sources), p=self.shares)]
        return self._draw(source, self.config.frames_per_clip, rng)

    def _draw(self, source: ClipSource, frames: int, rng: np.random.Generator) -> TrainClip:
        return augment_clip(source.clip(rng, frames), self.config.model.input_size, self.config.augment, rng)

    def batch(self, step: int) -> Batch:
        """This process's clips of a step; who asks in order waits least."""
        if not self._ahead or self._ahead[0][0] != step:
            self._cancel()
            self._ahead.append((step, self._submit(step)))
        clips = self._ahead.popleft()[1]
        for later in range(step + 1 + len(self._ahead), step + 1 + STEPS_AHEAD):
            self._ahead.append((later, self._submit(later)))
        return to_batch([clip.result() for clip in clips])

    def _submit(self, step: int) -> list[Future[TrainClip]]:
        return [self._pool.submit(self.clip, step, index) for index in self.indices]

    def _cancel(self) -> None:
        for _, clips in self._ahead:
            for clip in clips:
                clip.cancel()
        self._ahead.clear()

    def class_weights(self) -> dict[str, Tensor]:
        """Per label space: 1 / sqrt(share of pixels), scaled to a pixel mean of 1, at most 8."""
        counts: dict[str, np.ndarray] = {}
        rng = np.random.default_rng((self.config.seed, 2**31))
        for source in self.sources:
            total = counts.setdefault(source.space.name, np.zeros(256))
            for _ in range(WEIGHT_CLIPS):
                total += np.bincount(self._draw(source, 1, rng).labels.ravel(), minlength=256)
        weights = {}
        for name, total in counts.items():
            share = total[: len(space(name))] / max(total[: len(space(name))].sum(), 1)
            raw = 1.0 / np.sqrt(np.maximum(share, 1e-4))
            raw /= max((raw * share).sum(), 1e-9)
            weights[name] = torch.from_numpy(np.minimum(raw, 8.0)).float()
        return weights

    def close(self) -> None:
        """Stop the workers."""
        self._pool.shutdown(cancel_futures=True)
