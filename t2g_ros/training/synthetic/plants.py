"""Models of trees, hedges and bushes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.surfaces import MAX_POINTS, Builder, Paint

LEAF_M = 3.2


def leaves(color: NDArray[np.floating], shade: float) -> Paint:
    """Foliage; gaps between the leaves are dark."""
    base = np.clip(color * shade, 0, 1)
    return Paint("vegetation", base, 0.3 * base, textures.LEAVES, (LEAF_M, LEAF_M))


def _ragged(rng: np.random.Generator, radius: float, roughness: float) -> NDArray[np.floating]:
    return radius * (1 + roughness * rng.uniform(-1, 1, MAX_POINTS))


def tree(rng: np.random.Generator, color: NDArray[np.floating]) -> NDArray[np.void]:
    """A broad-leaved tree, or one in five times a conifer."""
    b = Builder()
    bark = Paint("vegetation", (0.28, 0.23, 0.18), (0.12, 0.1, 0.08), textures.PLANKS, (0.7, 1.5))
    if rng.random() < 0.2:
        height, radius = rng.uniform(6, 12), rng.uniform(1.3, 2.0)
        b.capsule((0, 0, 0), (0, 0.2 * height, 0), 0.16, 0.14, bark)
        for k in range(7):
            up = 0.12 + 0.86 * k / 7
            r = radius * (1.05 - up)
            b.blob((0, up * height, -0.01 * k), _ragged(rng, r, 0.22), leaves(color * (0.7, 0.8, 0.9), 0.5 + 0.5 * up))
        return b.build()
    trunk, radius = rng.uniform(2.0, 3.6), rng.uniform(1.5, 3.0)
    lean = rng.uniform(-0.25, 0.25, 2)
    top = np.array([lean[0], trunk, lean[1]])
    b.capsule((0, 0, 0), top, rng.uniform(0.13, 0.22), 0.11, bark)
    for _ in range(3):
        side = rng.uniform(-0.6, 0.6, 3) * radius
        b.capsule(top - (0, 0.3, 0), top + (side[0], 0.5 * radius, side[2]), 0.08, 0.04, bark)
    centre = top + (0, 0.75 * radius, 0)
    b.blob(centre, _ragged(rng, 0.85 * radius, 0.18), leaves(color, 0.5))
    for k in range(9):
        angle = rng.uniform(0, 2 * np.pi)
        up = -0.45 + 1.25 * k / 8
        out = np.sqrt(max(0.15, 1 - up**2)) * rng.uniform(0.35, 0.7)
        at = centre + radius * np.array([out * np.cos(angle), 0.75 * up, out * np.sin(angle)])
        b.blob(at, _ragged(rng, rng.uniform(0.36, 0.55) * radius, 0.22), leaves(color, 0.68 + 0.3 * up))
    return b.build()


def bush(rng: np.random.Generator, color: NDArray[np.floating]) -> NDArray[np.void]:
    """A bush about a metre high."""
    b = Builder()
    for k in range(4):
        r = rng.uniform(0.35, 0.7)
        at = (rng.uniform(-0.6, 0.6), 0.7 * r + 0.1 * k, rng.uniform(-0.4, 0.4))
        b.blob(at, _ragged(rng, r, 0.2), leaves(color, 0.55 + 0.13 * k))
    return b.build()


def hedge(b: Builder, rng: np.random.Generator, x: float, z0: float, z1: float, color: NDArray[np.floating]) -> None:
    """A clipped hedge along the street."""
    height, half = rng.uniform(0.9, 2.0), 0.35
    b.box((x - half, 0, z0), (x + half, height, z1), leaves(color, 0.75), leaves(color, 1.0))
