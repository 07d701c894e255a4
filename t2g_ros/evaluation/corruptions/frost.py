"""Frost: feathers of ice on the lens."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.corruptions.noise import plasma

CONSTANTS = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Per severity: weight of the image and of the frost that is added to it."""
MEAN, DEVIATION = 135, 40
"""Of the frost's luminance, about those of the published photographs."""
TINT = (0.89, 1.04, 1.12)
"""RGB of their grey."""
CANVAS = 1024
"""Length in pixels of the longer side on which frost is drawn; it grows with the image, as the photographs do."""
FEATHERS = 300
"""Feathers on a square canvas."""
SUBPIXEL_BITS = 4


def layer(
    severity: int, size: tuple[int, int], rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what lays frost over an image of this (height, width)."""
    left, weight = CONSTANTS[severity - 1]
    ice = _ice(size, rng)
    return lambda rgb: np.asarray(cv2.addWeighted(rgb, left, ice, weight, 0), np.uint8)


def _ice(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Feathers over a haze of finer crystals, (height, width, 3)."""
    height, width = size
    scale = CANVAS / max(size)
    drawn = max(1, round(height * scale)), max(1, round(width * scale))
    feathers = _feathers(drawn, rng)
    glow = cv2.GaussianBlur(feathers, (0, 0), 6)
    # A lens focused on the road does not see its own frost quite sharp.
    bright = cv2.GaussianBlur(feathers, (0, 0), 0.8) + 0.5 * glow + 0.3 * plasma(drawn, 1.3, rng)
    bright = cv2.resize(bright, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    luminance = MEAN + DEVIATION * (bright - bright.mean()) / max(float(bright.std()), 1e-6)
    return np.clip(np.rint(luminance[..., None] * np.array(TINT)), 0, 255).astype(np.uint8)


def _feathers(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Crystals of (height, width) in 0..1, each a bent stem, barbs on both sides, and barbs on those."""
    count = max(1, round(FEATHERS * size[0] * size[1] / CANVAS**2))
    stems = _grow(
        rng.uniform((0, 0), size[::-1], (count, 2)),
        rng.uniform(0, 2 * np.pi, count),
        rng.uniform(60, 300, count),
        rng.normal(0, 0.7, count),
        points=36,
    )
    barbs = _branch(stems, 0.4, 12, rng)
    picture = np.zeros(size, np.uint8)
    for lines, brightness in ((_branch(barbs, 0.3, 3, rng), 110), (barbs, 170), (stems, 220)):
        fixed = np.rint(lines * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.polylines(picture, list(fixed), False, brightness, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    return np.asarray(picture / 255, np.float32)


def _grow(
    where: NDArray[np.float64],
    heading: NDArray[np.float64],
    length: NDArray[np.float64],
    bend: NDArray[np.float64],
    points: int,
) -> NDArray[np.float64]:
    """Curves (n, points, 2) from n places, in n directions, that turn by `bend` radians on the way."""
    headings = heading[:, None] + bend[:, None] * np.linspace(0, 1, points - 1)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=-1) * (length / (points - 1))[:, None, None]
    return np.concatenate([where[:, None], where[:, None] + np.cumsum(steps, axis=1)], axis=1)


def _branch(lines: NDArray[np.float64], reach: float, points: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Barbs on both sides of curves (n, p, 2), up to `reach` of their length long, shorter towards the tip."""
    steps = np.diff(lines, axis=1)
    length = np.linalg.norm(steps, axis=2)
    heading = np.arctan2(steps[..., 1], steps[..., 0])
    long = reach * length.sum(axis=1, keepdims=True) * (1 - np.arange(1, lines.shape[1]) / lines.shape[1])
    both = [
        _grow(
            lines[:, 1:].reshape(-1, 2),
            (heading + side * rng.normal(0.95, 0.08, heading.shape)).ravel(),
            (long * rng.uniform(0.5, 1, long.shape)).ravel(),
            np.full(heading.size, -0.3 * side),
            points,
        )
        for side in (-1, 1)
    ]
    return np.concatenate(both)
