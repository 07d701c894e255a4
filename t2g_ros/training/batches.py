"""The clips of one training step, a pure function of (seed, step, clip), whoever draws them and in whatever order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from t2g_ros.errors import T2GError
from t2g_ros.labels import space
from t2g_ros.training.augment import augment_clip
from t2g_ros.training.clip import RawClip, TrainClip
from t2g_ros.training.clips import ClipSource, RenderedClips
from t2g_ros.training.config import ConfigError, TrainConfig

WEIGHT_CLIPS = 60
"""Clips drawn from each source to measure how common its classes are."""
AHEAD = 2
"""Steps that each worker is ahead."""

Item = TypeVar("Item")


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


class Batches(Dataset[Batch]):
    """Draws the clips of any step.

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
        self._rendered: tuple[tuple[int, int], RawClip] | None = None

    def clip(self, step: int, index: int) -> TrainClip:
        """Draw one clip of a step.

        Raises:
            InputError: a file of it cannot be read; the message names it.
        """
        config, together = self.config, (step, index // self.config.clips_per_render)
        rng = np.random.default_rng((config.seed, step, index))
        shared = np.random.default_rng((config.seed, *together, 1))
        source = self.sources[shared.choice(len(self.sources), p=self.shares)]
        if not isinstance(source, RenderedClips):
            return self._augmented(source.clip(rng, config.frames_per_clip), rng)
        if self._rendered is None or self._rendered[0] != together:
            self._rendered = together, source.clip(shared, config.frames_per_clip)
        return self._augmented(self._rendered[1], rng)

    def _augmented(self, clip: RawClip, rng: np.random.Generator) -> TrainClip:
        return augment_clip(clip, self.config.model.input_size, self.config.augment, rng)

    def batch(self, step: int) -> Batch:
        """This process's clips of a step.

        Raises:
            InputError: as `clip`.
        """
        return to_batch([self.clip(step, index) for index in self.indices])

    def __getitem__(self, step: int) -> Batch:
        """As `batch`."""
        return self.batch(step)

    def from_step(self, start: int) -> Iterator[Batch]:
        """The batches of the steps from `start` to the last, prepared by the config's `workers` in the background.

        Raises:
            InputError: as `clip`.
        """
        return _prepared(self, range(start, self.config.steps), self.config.workers)

    def class_weights(self) -> dict[str, Tensor]:
        """Per label space: 1 / sqrt(share of pixels), scaled to a pixel mean of 1, at most 8."""
        counts: dict[str, np.ndarray] = {}
        drawn = [(source, draw) for source in range(len(self.sources)) for draw in range(WEIGHT_CLIPS)]
        found = _prepared(_ClassCounts(self), drawn, self.config.workers)
        for (source, _), pixels in zip(drawn, found, strict=True):
            counts.setdefault(self.sources[source].space.name, np.zeros(256))[:] += pixels
        weights = {}
        for name, total in counts.items():
            share = total[: len(space(name))] / max(total[: len(space(name))].sum(), 1)
            raw = 1.0 / np.sqrt(np.maximum(share, 1e-4))
            raw /= max((raw * share).sum(), 1e-9)
            weights[name] = torch.from_numpy(np.minimum(raw, 8.0)).float()
        return weights


class _ClassCounts(Dataset[np.ndarray]):
    """Pixels per class of single frames, by number of source and draw."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, drawn: tuple[int, int]) -> np.ndarray:
        rng = np.random.default_rng((self.batches.config.seed, 2**31, *drawn))
        clip = self.batches._augmented(self.batches.sources[drawn[0]].clip(rng, 1), rng)
        return np.bincount(clip.labels.ravel(), minlength=256)


class _ErrorsReturned(Dataset[Item | T2GError]):
    """The items, or what went wrong: an error that is raised in another process loses its words on the way."""

    def __init__(self, items: Dataset[Item]) -> None:
        self.items = items

    def __getitem__(self, index: Any) -> Item | T2GError:
        try:
            return self.items[index]
        except T2GError as error:
            return error


def _prepared(items: Dataset[Item], order: Sequence[Any], workers: int) -> Iterator[Item]:
    """The items of that order, prepared in other processes."""
    for found in DataLoader(
        _ErrorsReturned(items),
        batch_size=None,  # an item is a batch already
        collate_fn=_unchanged,  # type: ignore[arg-type]  # then it takes an item
        sampler=order,
        num_workers=workers,
        prefetch_factor=AHEAD,
        worker_init_fn=_start_worker,
    ):
        if isinstance(found, T2GError):
            raise found
        yield found


def _unchanged(item: Item) -> Item:
    return item


def _start_worker(index: int) -> None:
    # OpenCV's threads do not survive the fork that started this process.
    cv2.setNumThreads(0)
