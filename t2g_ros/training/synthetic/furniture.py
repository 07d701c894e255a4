"""Models of what stands at the kerb: lamp posts, traffic lights, signs, bollards, and walls and fences along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.surfaces import Builder, Paint

STEEL = (0.42, 0.44, 0.45)
LAMP_HEIGHT = 6.5


def lamp_post(inward: float, color: tuple[float, float, float] = STEEL) -> NDArray[np.void]:
    """A street lamp whose arm reaches towards `inward` (-1 or 1)."""
    b = Builder()
    steel = Paint("pole", color)
    b.capsule((0, 0, 0), (0, LAMP_HEIGHT, 0), 0.10, 0.06, steel)
    b.capsule((0, LAMP_HEIGHT, 0), (1.3 * inward, LAMP_HEIGHT + 0.25, 0), 0.05, 0.05, steel)
    head = (1.3 * inward, LAMP_HEIGHT + 0.2, 0)
    b.capsule(head, (1.8 * inward, LAMP_HEIGHT + 0.25, 0), 0.1, 0.09, Paint("pole", (0.75, 0.75, 0.7), glow=2.5))
    return b.build()


def utility_pole(rng: np.random.Generator) -> NDArray[np.void]:
    """A wooden pole with a cross-bar."""
    b = Builder()
    wood = Paint("pole", (0.35, 0.28, 0.22), (0.2, 0.15, 0.1), textures.PLANKS, (0.6, 3))
    height = rng.uniform(6, 8)
    b.capsule((0, 0, 0), (0, height, 0), 0.14, 0.11, wood)
    b.capsule((-0.8, height - 0.5, 0), (0.8, height - 0.5, 0), 0.06, 0.06, wood)
    return b.build()


def bollard() -> NDArray[np.void]:
    """A knee-high post."""
    b = Builder()
    b.capsule((0, 0, 0), (0, 0.85, 0), 0.08, 0.08, Paint("pole", (0.2, 0.2, 0.21)))
    b.capsule((0, 0.7, 0), (0, 0.78, 0), 0.085, 0.085, Paint("pole", (0.85, 0.85, 0.85)))
    return b.build()


def _lights(b: Builder, x: float, y: float, lit: int) -> None:
    """A three-lamp head whose lowest edge is at `y`; lamp `lit` (0: red) is on."""
    b.box((x - 0.17, y, -0.12), (x + 0.17, y + 0.98, 0.12), Paint("traffic light", (0.07, 0.07, 0.07)))
    angle = np.arange(12) * np.pi / 6
    for k, color in enumerate(((0.9, 0.1, 0.08), (0.95, 0.6, 0.08), (0.1, 0.8, 0.4))):
        on = k == lit
        paint = Paint("traffic light", np.array(color) * (1.0 if on else 0.22), glow=1.8 if on else 0.0)
        cy = y + 0.8 - 0.3 * k
        for z in (-0.13, 0.13):
            ring = [(x + 0.11 * np.cos(a), cy + 0.11 * np.sin(a), z) for a in angle]
            b.face(ring, paint, (x, cy, 0))


def traffic_light(inward: float, lit: int, mast: bool) -> NDArray[np.void]:
    """Signal heads on a post and, with a `mast`, one over the lane."""
    b = Builder()
    steel = Paint("pole", (0.3, 0.31, 0.32))
    b.capsule((0, 0, 0), (0, 5.6 if mast else 3.3, 0), 0.09, 0.07, steel)
    if mast:
        b.capsule((0, 5.5, 0), (4.2 * inward, 5.6, 0), 0.06, 0.05, steel)
        _lights(b, 3.9 * inward, 4.7, lit)
    _lights(b, 0.0, 2.3, lit)
    return b.build()


def sign(rng: np.random.Generator) -> NDArray[np.void]:
    """One or two traffic signs on a post, seen from both directions; the back is grey."""
    b = Builder()
    height = rng.uniform(2.1, 2.6)
    b.capsule((0, 0, 0), (0, height + 0.5, 0), 0.04, 0.04, Paint("pole", (0.5, 0.51, 0.52)))
    kinds = rng.permutation(5)[: 1 + (rng.random() < 0.3)]
    for k, kind in enumerate(kinds):
        y, r = height - 0.75 * k, rng.uniform(0.34, 0.46)
        sides, turn = ((16, 0.0), (3, np.pi / 2), (4, np.pi / 4), (16, 0.0), (8, np.pi / 8))[kind]
        rim = ((0.75, 0.08, 0.08), (0.75, 0.08, 0.08), (0.95, 0.95, 0.95), (0.1, 0.25, 0.65), (0.72, 0.07, 0.07))[kind]
        face = ((0.95, 0.95, 0.93), (0.95, 0.95, 0.93), (0.12, 0.3, 0.65), (0.12, 0.28, 0.68), (0.75, 0.08, 0.08))[kind]
        ink = (0.08, 0.08, 0.08) if kind < 2 else (0.95, 0.95, 0.95)
        angle = turn + np.arange(sides) * 2 * np.pi / sides
        for share, z, paint in (
            (1.0, -0.05, Paint("traffic sign", rim)),
            (0.8, -0.055, Paint("traffic sign", face, ink, textures.SIGN, (1.6 * r, 2.4 * r))),
        ):
            ring = np.stack([share * r * np.cos(angle), y + share * r * np.sin(angle), np.full(sides, z)], axis=-1)
            b.face(ring, paint, (0, y, 0.5))
        back = np.stack([r * np.cos(angle), y + r * np.sin(angle), np.full(sides, -0.04)], axis=-1)
        b.face(back, Paint("traffic sign", (0.45, 0.46, 0.47)), (0, y, -0.5))
    return b.build()


def direction_board(rng: np.random.Generator) -> NDArray[np.void]:
    """A large board on two posts that names towns."""
    b = Builder()
    color = ((0.1, 0.35, 0.2), (0.1, 0.25, 0.55), (0.92, 0.9, 0.85))[rng.integers(3)]
    ink = (0.08, 0.08, 0.08) if color[0] > 0.5 else (0.95, 0.95, 0.95)
    for x in (-0.8, 0.8):
        b.capsule((x, 0, 0), (x, 3.3, 0), 0.06, 0.06, Paint("pole", STEEL))
    front, rim = Paint("traffic sign", color, ink, textures.SIGN, (2.4, 1.6)), Paint("traffic sign", ink)
    for w, y0, y1, z, paint in ((1.2, 2.0, 3.6, -0.07, rim), (1.14, 2.06, 3.54, -0.08, front)):
        b.face([(-w, y0, z), (w, y0, z), (w, y1, z), (-w, y1, z)], paint, (0, 2.5, 1))
    b.face([(-1.2, 2, -0.06), (1.2, 2, -0.06), (1.2, 3.6, -0.06), (-1.2, 3.6, -0.06)],
           Paint("traffic sign", (0.45, 0.46, 0.47)), (0, 2.5, -1))  # fmt: skip
    return b.build()


def wall(b: Builder, rng: np.random.Generator, x: float, z0: float, z1: float) -> None:
    """A garden or retaining wall along the street."""
    kind = rng.integers(3)
    tile = (textures.BRICK, textures.STONE, textures.PLASTER)[kind]
    base = ((0.5, 0.3, 0.24), (0.5, 0.48, 0.44), (0.68, 0.65, 0.6))[kind] * rng.uniform(0.8, 1.2, 3)
    paint = Paint("wall", base, base * 0.6, tile, ((2.4, 2.4), (3, 2.2), (5, 5))[kind])
    height = rng.uniform(1.0, 2.6)
    b.box((x - 0.15, 0, z0), (x + 0.15, height, z1), paint, paint.tinted(1.2))
    b.box((x - 0.2, height, z0), (x + 0.2, height + 0.1, z1), Paint("wall", base * 0.85))


def fence(b: Builder, rng: np.random.Generator, x: float, z0: float, z1: float) -> None:
    """A picket fence or railing; between its bars is dark, and still fence, as Cityscapes labels it."""
    color = ((0.85, 0.84, 0.8), (0.4, 0.28, 0.18), (0.15, 0.17, 0.16), (0.3, 0.42, 0.33))[rng.integers(4)]
    height = rng.uniform(0.9, 1.7)
    paint = Paint("fence", color, (0.16, 0.19, 0.11), textures.FENCE, (1.7, height))
    b.face([(x, 0, z0), (x, 0, z1), (x, height, z1), (x, height, z0)], paint)
    for z in np.arange(z0, z1 + 0.1, 3.0):
        b.capsule((x, 0, z), (x, height + 0.1, z), 0.05, 0.05, Paint("fence", color))
