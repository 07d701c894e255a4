"""Snow: the scene whitens, and streaks of flakes fall through it in two directions."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.corruptions.noise import grey

CONSTANTS = (
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""Per severity: mean and deviation of the noise that flakes are made of, by how much it is enlarged, above which
value it is a flake, radius and sigma in pixels of the streaks, and the share of the scene that does not whiten."""


def layer(
    severity: int, size: tuple[int, int], rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what lays snow over an image of this (height, width)."""
    mean, deviation, enlarge, flake, radius, sigma, clear = CONSTANTS[severity - 1]
    height, width = size
    degrees = rng.uniform(-135, -45)
    few = rng.normal(mean, deviation, (math.ceil(height / enlarge), math.ceil(width / enlarge)))
    flakes = cv2.resize(few.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    flakes = np.where(flakes < flake, 0, np.clip(flakes, 0, 1)).astype(np.float32)
    streaks = cv2.filter2D(flakes, -1, _streak(radius, sigma, degrees), borderType=cv2.BORDER_REPLICATE)
    falling = grey(streaks + np.rot90(streaks, 2))

    def blend(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # clear * rgb + (1 - clear) * max(rgb, 1.5 * luminance + 0.5), where the maximum may exceed white.
        white = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        white = cv2.convertScaleAbs(white, alpha=(1 - clear) * 1.5, beta=(1 - clear) * 127.5)
        whitened = cv2.max(cv2.convertScaleAbs(rgb, alpha=1 - clear), cv2.merge([white, white, white]))
        return np.asarray(cv2.add(cv2.addWeighted(rgb, clear, whitened, 1, 0), falling), np.uint8)

    return blend


def _streak(radius: int, sigma: float, degrees: float) -> NDArray[np.float32]:
    """Kernel that draws a point out into a line that fades."""
    length = 2 * radius + 1
    kernel = np.zeros((2 * length - 1, 2 * length - 1), np.float32)
    along = np.arange(length)
    x = np.rint(length - 1 + along * math.cos(math.radians(degrees))).astype(int)
    y = np.rint(length - 1 + along * math.sin(math.radians(degrees))).astype(int)
    np.add.at(kernel, (y, x), np.exp(-(along**2) / (2 * sigma**2)))
    return kernel / kernel.sum()
