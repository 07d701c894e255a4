"""Spatter: drops of water on the lens up to severity 3, of mud from 4 on."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.corruptions.noise import unit

WATER = ((0.65, 0.3, 4.0, 0.69, 0.6), (0.65, 0.3, 3.0, 0.68, 0.6), (0.65, 0.3, 2.0, 0.68, 0.5))
"""Severity 1 to 3: mean and deviation of the noise that drops are made of, the sigma in pixels that it is blurred with,
above which value it is a drop, and how strongly drops shine."""
MUD = ((0.65, 0.3, 1.0, 0.65, 1.5), (0.67, 0.4, 1.0, 0.65, 1.5))
"""Severity 4 and 5: the same, and last the sigma in pixels that joins drops to splashes."""
TURQUOISE, BROWN = (175, 238, 238), (63, 42, 20)
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)


def layer(
    severity: int, size: tuple[int, int], rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what lays spatter over an image of this (height, width)."""
    return _mud(severity, size, rng) if severity > len(WATER) else _water(severity, size, rng)


def _water(
    severity: int, size: tuple[int, int], rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    mean, deviation, sigma, drop, shine = WATER[severity - 1]
    liquid = _blur(rng.normal(mean, deviation, size).astype(np.float32), sigma)
    liquid[liquid < drop] = 0
    # A drop is lit from one side: its relief is the distance to its rim.
    rims = cv2.Canny(cv2.convertScaleAbs(liquid, alpha=255), 50, 150)
    relief = np.minimum(cv2.distanceTransform(255 - rims, cv2.DIST_L2, 5), 20)
    relief = cv2.equalizeHist(cv2.blur(relief, (3, 3)).astype(np.uint8))
    light = cv2.blur(cv2.filter2D(relief, cv2.CV_8U, EMBOSS), (3, 3)).astype(np.float32)
    drops = _tinted(shine * unit(liquid * light), TURQUOISE)
    return lambda rgb: np.asarray(cv2.add(rgb, drops), np.uint8)


def _mud(
    severity: int, size: tuple[int, int], rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    mean, deviation, sigma, drop, join = MUD[severity - 1 - len(WATER)]
    liquid = _blur(rng.normal(mean, deviation, size).astype(np.float32), sigma)
    cover = _blur((liquid > drop).astype(np.float32), join)
    cover[cover < 0.8] = 0
    mud, clear = _tinted(cover, BROWN), _tinted(1 - cover, (255, 255, 255))
    return lambda rgb: np.asarray(cv2.add(cv2.multiply(rgb, clear, scale=1 / 255), mud), np.uint8)


def _blur(field: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _tinted(field: NDArray[np.float32], rgb: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(H, W) in 0..1 times a colour."""
    return np.rint(field[..., None] * np.array(rgb)).astype(np.uint8)
