"""Fog: the image fades, and a cloud of fractal noise takes its place."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.corruptions.noise import grey, plasma

CONSTANTS = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""Per severity: the fog's weight against the image's 1, and the decay of `plasma`."""


def layer(
    severity: int, size: tuple[int, int], rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what lays fog over an image of this (height, width)."""
    weight, decay = CONSTANTS[severity - 1]
    left = 1 / (1 + weight)
    cloud = grey(weight * left * plasma(size, decay, rng))
    return lambda rgb: np.asarray(cv2.addWeighted(rgb, left, cloud, 1, 0), np.uint8)
