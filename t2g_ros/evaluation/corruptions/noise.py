"""The random fields that corruptions are made of."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def plasma(size: tuple[int, int], decay: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Fractal noise of (height, width) in 0..1: octaves from half the image's size down to a pixel.

    Each octave is weaker than the coarser one by the square of `decay`, as in the midpoint displacement of the
    published fog; here they are summed, so that no squares and diamonds show. As there, it is a part of a square
    field whose side is a power of two.
    """
    side = 1 << (max(size) - 1).bit_length()
    field = np.zeros((side, side), np.float32)
    cells, weight = 2, 1.0
    while cells <= side:
        octave = rng.uniform(-weight, weight, (cells, cells)).astype(np.float32)
        field += cv2.resize(octave, (side, side), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight / decay**2
    return unit(field)[: size[0], : size[1]]


def unit(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch to 0..1; a field without contrast becomes 0."""
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def grey(field: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn (H, W) in 0..1 into an image (H, W, 3) uint8."""
    return np.asarray(cv2.merge([cv2.convertScaleAbs(np.clip(field, 0, 1), alpha=255)] * 3), np.uint8)
