"""From a camera's image to the network's input size."""

from __future__ import annotations

import cv2
import numpy as np

SHRINK = 1.5
"""Frames larger than the network's input by more than this are averaged down: subsampling them would alias,
and aliasing flickers."""
MOST = 3.0
"""A frame at twice the input's size stands for one that is larger than the input by less than this."""


def to_input(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a frame at the network's input size, (height, width): always a copy, as engines may want to write it.

    `INTER_AREA` is fast for whole factors alone. So a larger frame is brought to twice the size and averaged from
    there, which takes 0.4 of the time for full HD and there differs by less than a grey level.
    """
    height, width = size
    if max(_shrink(rgb, size)) <= SHRINK:
        return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    while max(_shrink(rgb, size)) >= MOST and min(_shrink(rgb, size)) >= 2:
        rgb = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if max(_shrink(rgb, size)) < MOST:
        rgb = cv2.resize(rgb, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def _shrink(rgb: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
    """How many times as high and as wide as the input a frame is."""
    return rgb.shape[0] / size[0], rgb.shape[1] / size[1]
