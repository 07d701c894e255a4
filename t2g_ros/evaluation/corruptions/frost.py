"""Frost: feathers of ice on the lens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.corruptions.noise import plasma, unit

CONSTANTS = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Per severity: weight of the image and of the frost that is added to it."""
DARK, BRIGHT = (55, 80, 95), (225, 238, 248)
"""RGB of bare and of iced glass; frost between them has about the mean and contrast of the published photographs."""
CANVAS = 1024
"""Length in pixels of the longer side on which frost is drawn; it grows with the image, as the photographs do."""
FEATHERS = 260
"""Feathers on a square canvas."""
SUBPIXEL_BITS = 4


def frost(
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
    haze = plasma(drawn, 1.6, rng)
    feathers = np.zeros(drawn, np.uint8)
    for _ in range(max(1, round(FEATHERS * drawn[0] * drawn[1] / CANVAS**2))):
        where = rng.uniform((0, 0), drawn[::-1])
        lines = [
            np.rint(line * (1 << SUBPIXEL_BITS)).astype(np.int32) for line in _feather(where, rng)
        ]
        cv2.polylines(feathers, lines, False, int(rng.integers(110, 256)), 1, cv2.LINE_AA, SUBPIXEL_BITS)
    sharp = feathers.astype(np.float32) / 255
    bright = unit(0.55 * haze + 0.45 * sharp + 0.8 * cv2.GaussianBlur(sharp, (0, 0), 5))
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    bright = cv2.resize(bright, (width, height), interpolation=how)[..., None]
    return np.rint(np.float32(DARK) * (1 - bright) + np.float32(BRIGHT) * bright).astype(np.uint8)


def _feather(where: NDArray[np.float64], rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Lines, (points, 2) x and y, of one crystal: a bent stem, barbs on both sides, and barbs on those."""
    length, bend = rng.uniform(60, 260), rng.normal(0, 0.6)
    stem = _stem(where, rng.uniform(0, 2 * np.pi), length, bend)
    yield stem
    for barb in _barbs(stem, 0.45 * length, rng):
        yield barb
        yield from _barbs(barb, 0.12 * length, rng)


def _stem(where: NDArray[np.float64], heading: float, length: float, bend: float) -> NDArray[np.float64]:
    """A curve from a point, in steps of some 6 pixels."""
    steps = max(2, round(length / 6))
    headings = heading + bend * np.linspace(0, 1, steps)
    step = np.stack([np.cos(headings), np.sin(headings)], axis=1) * length / steps
    return where + np.concatenate([np.zeros((1, 2)), np.cumsum(step, axis=0)])


def _barbs(stem: NDArray[np.float64], length: float, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Side branches at about 55 degrees that shorten towards the tip."""
    for index in range(1, len(stem)):
        along = stem[index] - stem[index - 1]
        heading = np.arctan2(along[1], along[0])
        for side in (-1, 1):
            reach = length * (1 - index / len(stem)) * rng.uniform(0.5, 1)
            if reach > 4:
                yield _stem(stem[index], heading + side * rng.normal(0.95, 0.08), reach, -side * 0.3)
