"""Models of bicycles, motorcycles and scooters, heading for +z, ridden if there is someone to ride them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic.people import Looks, rider
from t2g_ros.training.synthetic.surfaces import Builder, Paint

RUBBER = (0.05, 0.05, 0.055)
CHROME = Paint("motorcycle", (0.62, 0.62, 0.64))
DARK = Paint("motorcycle", (0.07, 0.07, 0.08))
GLASS = Paint("motorcycle", (0.75, 0.78, 0.8))
SKY_SHARE = 0.55
"""Of the sky's grey in what faces up on lacquer: the glints by which a dark body is seen at all."""


def drawn_motorcycle(rng: np.random.Generator, who: Looks | None) -> NDArray[np.void]:
    """A motorcycle or scooter at random; two of five are nearly black, one is silver or white."""
    kind = rng.random()
    grey = rng.uniform(0.03, 0.14) if kind < 0.4 else rng.uniform(0.5, 0.85)
    color = np.clip(grey + rng.normal(0, 0.015, 3), 0.02, 0.9) if kind < 0.6 else rng.uniform(0.05, 0.75, 3)
    return motorcycle(color, who, scooter=rng.random() < 0.5)


def _ring(radius: float, share: float, z: float) -> list[tuple[float, float, float]]:
    """Points about the axle of a wheel that stands on the ground."""
    angle = np.arange(14) * 2 * np.pi / 14
    return [(0.0, radius + share * radius * np.sin(a), z + share * radius * np.cos(a)) for a in angle]


def bicycle(color: NDArray[np.floating], who: Looks | None, phase: float) -> NDArray[np.void]:
    """A bicycle; `phase` counts turns of the pedals."""
    b = Builder()
    for z in (-0.52, 0.54):
        b.capsule((0, 0.022, z), (0, 0.658, z), 0.022, 0.022, Paint("bicycle", RUBBER))
        for share, grey in ((1.0, 0.06), (0.86, 0.34), (0.12, 0.2)):
            b.face(_ring(0.34, share, z), Paint("bicycle", (grey, grey, grey)))
    frame = Paint("bicycle", color)
    seat, bottom, head = (0, 0.86, -0.22), (0, 0.3, -0.05), (0, 0.82, 0.34)
    for p, q in ((seat, bottom), (bottom, head), (head, (0, 0.8, -0.18)), (bottom, (0, 0.34, -0.52))):
        b.capsule(p, q, 0.025, 0.025, frame)
    b.capsule((0, 1.0, 0.32), (0, 0.34, 0.54), 0.022, 0.022, frame)
    b.capsule((-0.27, 1.02, 0.32), (0.27, 1.02, 0.32), 0.022, 0.022, Paint("bicycle", (0.1, 0.1, 0.1)))
    b.capsule((0, 0.94, -0.32), (0, 0.94, -0.12), 0.05, 0.035, Paint("bicycle", (0.08, 0.08, 0.08)))
    if who is not None:
        c, s = 0.17 * np.cos(2 * np.pi * phase), 0.17 * np.sin(2 * np.pi * phase)
        rider(b, who, (0.98, -0.22), (0.3 + s, -0.05 + c, 0.3 - s, -0.05 - c), (1.04, 0.3))
    return b.build()


def motorcycle(color: NDArray[np.floating], who: Looks | None, scooter: bool = False) -> NDArray[np.void]:
    """A motorcycle, or a scooter; nobody's stands on its stand with the lamps off."""
    b = Builder()
    glow = float(who is not None)
    (_scooter if scooter else _motorbike)(b, color)
    for side in (-0.3, 0.3):
        b.capsule((side, 1.03, 0.4), (1.25 * side, 1.2, 0.42), 0.012, 0.012, DARK)
        b.blob((1.3 * side, 1.2, 0.42), 0.055, DARK, front=(0, 0, 1))
        b.blob((1.3 * side, 1.2, 0.42), 0.055, GLASS, front=(0, 0, -1))
    b.blob((0, 0.88, 0.6), 0.08, Paint("motorcycle", (0.8, 0.82, 0.8), glow=2.0 * glow), front=(0, 0, 1))
    b.blob((0, 0.74, -0.84), 0.05, Paint("motorcycle", (0.6, 0.05, 0.05), glow=0.5 * glow), front=(0, 0, -1))
    b.face([(x, y, -0.86) for x, y in ((-0.1, 0.5), (0.1, 0.5), (0.1, 0.64), (-0.1, 0.64))], GLASS)
    if who is not None:
        rider(b, who, (0.88, -0.25), (0.32, -0.1, 0.32, -0.1), (1.03, 0.38))
    return b.build()


def _wheel(b: Builder, z: float, radius: float, tyre: float) -> None:
    """A fat black tyre, a rim that shines, the dark behind it, and five spokes of cast metal."""
    rubber = Paint("motorcycle", RUBBER)
    b.capsule((0, tyre, z), (0, 2 * radius - tyre, z), tyre, tyre, rubber)
    for share, paint in ((1.0, rubber), (0.7, CHROME), (0.6, DARK)):
        b.face(_ring(radius, share, z), paint)
    for x, y, along in _ring(radius, 0.58, z)[::3]:
        b.capsule((x, radius, z), (x, y, along), 0.022, 0.016, CHROME)
    b.face(_ring(radius, 0.24, z), CHROME)


def _lacquer(color: NDArray[np.floating]) -> tuple[Paint, Paint]:
    """A body's paint, and how it looks where it mirrors the sky."""
    return Paint("motorcycle", color), Paint("motorcycle", color + SKY_SHARE * (0.9 - color))


def _motorbike(b: Builder, color: NDArray[np.floating]) -> None:
    """An open engine between two large wheels, a tank above it and a bench behind."""
    body, glint = _lacquer(color)
    for z in (-0.68, 0.74):
        _wheel(b, z, 0.31, 0.06)
    b.capsule((0.05, 0.2, 0.0), (0.05, 0.02, -0.12), 0.018, 0.018, DARK)
    b.capsule((0, 0.31, -0.68), (0, 0.45, -0.1), 0.05, 0.06, DARK)
    b.capsule((0, 0.4, -0.12), (0, 0.42, 0.2), 0.17, 0.16, DARK)
    for y in (0.44, 0.5, 0.56):  # cooling fins
        b.capsule((0, y, 0.0), (0, y + 0.02, 0.24), 0.025, 0.025, CHROME.tinted(0.7))
    b.capsule((0.16, 0.5, 0.3), (0.16, 0.24, 0.1), 0.035, 0.035, CHROME)
    b.capsule((0.16, 0.24, 0.1), (0.16, 0.32, -0.82), 0.04, 0.06, CHROME)
    b.capsule((0, 0.96, 0.46), (0, 0.31, 0.74), 0.045, 0.035, CHROME)
    b.capsule((0, 0.61, 0.6), (0, 0.64, 0.84), 0.07, 0.05, body)
    b.capsule((0, 0.72, -0.12), (0, 0.84, 0.28), 0.14, 0.16, body)
    b.capsule((0, 0.86, -0.04), (0, 0.96, 0.24), 0.03, 0.03, glint)
    b.capsule((0, 0.75, -0.76), (0, 0.73, -0.16), 0.08, 0.12, DARK)
    b.capsule((0, 0.69, -0.84), (0, 0.66, -0.42), 0.05, 0.07, body)
    b.capsule((0, 0.9, 0.48), (0, 0.84, 0.54), 0.12, 0.11, DARK)
    b.capsule((-0.36, 1.0, 0.38), (0.36, 1.0, 0.38), 0.025, 0.025, DARK)


def _scooter(b: Builder, color: NDArray[np.floating]) -> None:
    """Small wheels, a shield before the legs, a low floor, and a tail that rises behind a seat."""
    body, glint = _lacquer(color)
    for z in (-0.56, 0.64):
        _wheel(b, z, 0.24, 0.065)
    for z in (-0.22, -0.1):
        b.capsule((0, 0.25, -0.16), (0, 0.02, z), 0.018, 0.018, DARK)
    b.capsule((0.1, 0.24, -0.56), (0.1, 0.3, -0.12), 0.08, 0.1, DARK)
    b.capsule((0.15, 0.3, -0.76), (0.15, 0.22, -0.25), 0.06, 0.05, CHROME)
    b.capsule((0, 0.26, -0.12), (0, 0.26, 0.34), 0.09, 0.08, DARK)
    b.capsule((0, 0.66, -0.74), (0, 0.44, -0.14), 0.09, 0.16, body)
    b.capsule((0, 0.73, -0.78), (0, 0.56, -0.2), 0.022, 0.03, glint)
    b.capsule((0, 0.82, -0.66), (0, 0.74, -0.06), 0.06, 0.09, DARK)
    b.capsule((0, 0.7, 0.5), (0, 0.24, 0.64), 0.05, 0.035, CHROME.tinted(0.6))
    b.capsule((0, 0.46, 0.52), (0, 0.46, 0.78), 0.09, 0.05, body)
    b.capsule((0, 0.34, 0.36), (0, 0.86, 0.46), 0.13, 0.15, body)
    b.capsule((0, 0.5, 0.5), (0, 0.88, 0.58), 0.035, 0.025, glint)
    b.capsule((0, 0.92, 0.5), (0, 1.0, 0.4), 0.12, 0.1, body.tinted(0.8))
    b.capsule((-0.32, 1.02, 0.36), (0.32, 1.02, 0.36), 0.028, 0.028, DARK)
