"""The random fields that corruptions are made of."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def plasma(size: tuple[int, int], decay: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Fractal noise of (height, width) in 0..1: octaves from the image's size down to a pixel.

    Each octave is weaker than the coarser one by `decay`, as in the midpoint displacement of the published fog; here
    they are summed, so that no grid of squares and diamonds shows.
    """
    height, width = size
    field = np.zeros(size, np.float32)
    cell, weight = 1 << max(height, width).bit_length() - 1, 1.0
    while cell >= 1:
        rows, columns = height // cell + 2, width // cell + 2
        octave = rng.uniform(-weight, weight, (rows, columns)).astype(np.float32)
        # Not aligned with the image's corner, or the extremes of all octaves would meet there.
        top, left = rng.integers(0, cell, 2)
        fine = cv2.resize(octave, (columns * cell, rows * cell), interpolation=cv2.INTER_CUBIC)
        field += fine[top : top + height, left : left + width]
        cell, weight = cell // 2, weight / decay
    return unit(field)


def unit(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch to 0..1; a field without contrast becomes 0."""
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def grey(field: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn (H, W) in 0..1 into an image (H, W, 3) uint8."""
    return np.asarray(cv2.merge([cv2.convertScaleAbs(np.clip(field, 0, 1), alpha=255)] * 3), np.uint8)
