"""Rare-class sampling: frames that show rare classes are drawn more often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from t2g_ros.errors import InputError
from t2g_ros.training.drives import Drive

COUNT_STEP = 4
"""Pixels are counted on every fourth row and column."""
LEAST_PIXELS = 8
"""So many counted pixels of a class make a frame show it."""


def count_classes(
    frames: list[tuple[Drive, int]], classes: int, workers: int = 1, cache: Path | None = None
) -> np.ndarray:
    """Count every class's pixels in every frame, on a coarse grid.

    Args:
        frames: labelled frames, as (drive, index).
        classes: of the label space.
        workers: threads that read labels.
        cache: safetensors file to keep the counts in; its name has to tell the data.

    Returns:
        (frames, classes) int64.

    Raises:
        InputError: a label file is damaged; the message names it.
    """
    if cache is not None and cache.exists():
        counts = load_file(cache)["counts"]
        if counts.shape == (len(frames), classes):
            return counts

    def count(frame: tuple[Drive, int]) -> np.ndarray:
        labels = frame[0].labels(frame[1])[::COUNT_STEP, ::COUNT_STEP]
        return np.bincount(labels.ravel(), minlength=256)[:classes]

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        found = tqdm(pool.map(count, frames), "count classes", len(frames), disable=None, leave=False)
        counts = np.stack(list(found)).astype(np.int64)
    if cache is not None:
        partial = cache.with_suffix(".part")
        save_file({"counts": counts}, partial)
        partial.replace(cache)
    return counts


class RareClassSampler:
    """Draws a class, the rarer the likelier, and then a frame that shows it (DAFormer, arXiv 2111.14887).

    P(c) is proportional to exp((1 - f_c) / temperature), f_c being the class's share of all labelled pixels.

    Args:
        frames: labelled frames, as (drive, index).
        counts: (frames, classes) of `count_classes`.
        temperature: the lower, the more the rarest class wins; DAFormer's is 0.01. Above 0.

    Raises:
        InputError: no frame shows a class.
    """

    def __init__(self, frames: list[tuple[Drive, int]], counts: np.ndarray, temperature: float) -> None:
        self.frames = frames
        self.shown = [np.flatnonzero(counts[:, c] >= LEAST_PIXELS) for c in range(counts.shape[1])]
        present = np.array([len(positions) > 0 for positions in self.shown])
        if not present.any():
            raise InputError(f"rare-class sampling: none of the {len(counts)} labelled frames shows a class")
        share = counts.sum(axis=0) / counts.sum()
        logits = np.where(present, (1 - share) / temperature, -np.inf)
        weights = np.exp(logits - logits.max())
        self.p = weights / weights.sum()
        """(classes,) probability of each class."""

    def draw(self, rng: np.random.Generator) -> tuple[Drive, int, int]:
        """Return drive and index of a frame, and the class that it was drawn for."""
        wanted = int(rng.choice(len(self.p), p=self.p))
        return *self.frames[rng.choice(self.shown[wanted])], wanted
