"""Models of trams: jointed sections that run on rails, origin on the ground at their middle, head towards +z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.surfaces import Builder, Paint
from t2g_ros.training.synthetic.vehicles import GLASS

LABEL = "train"
"""What Cityscapes calls a tram."""
LONGEST_M = 40.0
JOINT_M = 0.5
SKIRT_M, HEAD_M, SCREEN_M = 0.22, 1.05, 0.7
"""Lowest edge of the body, height of the head below its windscreen, how far that leans back."""
BODIES = (
    (0.86, 0.68, 0.14), (0.88, 0.82, 0.62), (0.72, 0.1, 0.09), (0.88, 0.88, 0.87), (0.14, 0.4, 0.24),
    (0.12, 0.28, 0.58), (0.55, 0.57, 0.6), (0.85, 0.42, 0.1),
)  # fmt: skip
DARK = (0.09, 0.09, 0.1)


@dataclass(frozen=True)
class _Look:
    """Measures in metres and colours that all sections of a tram share."""

    half: float
    height: float
    sill: float
    body: Paint
    band: Paint
    """Between and around the windows."""
    lower: Paint
    glass: Paint

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Look:
        main, other = (np.array(BODIES[i]) for i in rng.choice(len(BODIES), 2, replace=False))
        main = np.clip(main * rng.uniform(0.8, 1.12), 0.03, 0.95)

        def paint(color: NDArray) -> Paint:
            return Paint(LABEL, color, tile=textures.PLASTER, scale=(8, 8))

        body = paint(main)
        dark, two_tone = paint(np.array(DARK) * rng.uniform(1, 2)), paint(other)
        return cls(
            half=rng.uniform(1.15, 1.32),
            height=rng.uniform(3.1, 3.6),
            sill=rng.uniform(1.1, 1.5),
            body=body,
            band=(body, dark, dark, two_tone)[rng.integers(4)],
            lower=(body, body.tinted(0.6), dark, two_tone)[rng.integers(4)],
            glass=Paint(LABEL, np.array(GLASS) * rng.uniform(0.6, 1.5), tile=textures.GLASS, scale=(3, 1.6), glow=0.03),
        )


def tram(rng: np.random.Generator) -> NDArray[np.void]:
    """A tram of one to five sections in one livery, some of which carry an advertisement."""
    b, look = Builder(), _Look.draw(rng)
    sections = int(rng.integers(1, 6))
    length = rng.uniform(9.0, 13.0) if sections == 1 else rng.uniform(6.0, (LONGEST_M - 2) / 5 - JOINT_M)
    total = sections * length + (sections - 1) * JOINT_M
    advertised = rng.random(sections) < 0.4
    collector = int(rng.integers(sections))
    for k in range(sections):
        rear = k * (length + JOINT_M) - total / 2
        front = rear + length
        # Each section is an object of its own, or a long tram would be painted wholly before or behind what is beside.
        b.anchor = (0.0, (rear + front) / 2)
        _section(b, rng, look, rear, front, first=k == sections - 1, last=k == 0)
        if advertised[k]:
            _advertisement(b, rng, look, rear, front)
        if k == collector:
            _collector(b, look, (rear + front) / 2)
        if k:
            _joint(b, look, rear - JOINT_M, rear)
    return b.build()


def rails(b: Builder, x: float, z0: float, z1: float) -> None:
    """A track in the road whose middle is at `x`; in the road it is road, as Cityscapes labels it."""
    for rail in (-0.72, 0.72):
        for half, shade in ((0.1, 0.2), (0.035, 0.42)):
            steel = Paint("road", (shade, shade, shade + 0.01), tile=textures.ASPHALT, scale=(5, 5))
            b.ground(x + rail - half, x + rail + half, z0, z1, 0.0, steel)


def _section(
    b: Builder, rng: np.random.Generator, look: _Look, rear: float, front: float, *, first: bool, last: bool
) -> None:
    """Walls, roof, windows and doors, and a cab where the tram ends."""
    half, top = look.half, look.height
    inside = (0.0, 1.5, (rear + front) / 2)
    roof0, roof1 = rear + (SCREEN_M if last else 0.0), front - (SCREEN_M if first else 0.0)
    shadow = Paint("road", (0.08, 0.08, 0.09), tile=textures.ASPHALT, scale=(6, 6))
    b.layer = 5.0
    b.ground(-half - 0.1, half + 0.1, rear - 0.1, front + 0.1, 0.004, shadow)
    b.layer = 0.0
    unit = rng.uniform(0.15, 0.4) if rng.random() < 0.7 else 0.05
    b.box((-0.7 * half, top, roof0 + 0.8), (0.7 * half, top + unit, roof1 - 0.8), look.body.tinted(0.7))
    b.face([(-half, top, roof0), (half, top, roof0), (half, top, roof1), (-half, top, roof1)], look.body, inside)
    for s in (-half, half):
        wall = [(s, SKIRT_M, rear), (s, SKIRT_M, front), (s, HEAD_M, front), (s, top, roof1), (s, top, roof0),
                (s, HEAD_M, rear)]  # fmt: skip
        b.face(wall, look.body, inside)
        out = s + np.sign(s) * 0.01
        _side(b, rng, look, out, roof0 + 0.15, roof1 - 0.15, inside)
    for at, towards, is_end in ((front, 1, first), (rear, -1, last)):
        if is_end:
            _cab(b, look, at, towards, inside)
        else:
            b.face([(-half, SKIRT_M, at), (half, SKIRT_M, at), (half, top, at), (-half, top, at)], look.body, inside)


def _joint(b: Builder, look: _Look, rear: float, front: float) -> None:
    """The bellows between two sections."""
    b.anchor = (0.0, (rear + front) / 2)
    dark, inside = Paint(LABEL, DARK), (0.0, 1.5, (rear + front) / 2)
    half, top = look.half - 0.12, look.height - 0.12
    b.face([(-half, top, rear), (half, top, rear), (half, top, front), (-half, top, front)], dark, inside)
    for s in (-half, half):
        b.face([(s, 0.35, rear), (s, 0.35, front), (s, top, front), (s, top, rear)], dark, inside)


def _side(b: Builder, rng: np.random.Generator, look: _Look, x: float, z0: float, z1: float, inside: tuple) -> None:
    """Skirt, band, windows and doors of one wall."""
    upper = look.height - 0.45

    def pane(a: float, c: float, low: float, high: float, paint: Paint, lift: float) -> None:
        s = x + np.sign(x) * lift
        b.face([(s, low, a), (s, low, c), (s, high, c), (s, high, a)], paint, inside)

    pane(z0, z1, SKIRT_M, 0.6, look.lower, 0.0)
    pane(z0, z1, look.sill - 0.12, upper + 0.1, look.band, 0.0)
    bays = max(2, round((z1 - z0) / rng.uniform(1.3, 2.0)))
    doors = set(rng.choice(bays, rng.integers(0, 1 + bays // 3), replace=False).tolist())
    width = (z1 - z0) / bays
    for k in range(bays):
        a, c = z0 + k * width + 0.07, z0 + (k + 1) * width - 0.07
        if k in doors:
            pane(a, c, 0.35, upper + 0.05, look.body.tinted(0.55), 0.01)
            middle = (a + c) / 2
            for left, right in ((a + 0.08, middle - 0.04), (middle + 0.04, c - 0.08)):
                pane(left, right, 0.5, upper - 0.05, look.glass, 0.02)
        else:
            pane(a, c, look.sill, upper, look.glass, 0.01)


def _cab(b: Builder, look: _Look, z: float, towards: int, inside: tuple) -> None:
    """The head or, towards -1, the tail: windscreen, line number, lamps."""
    half, top, back = look.half, look.height, z - towards * SCREEN_M
    b.face([(-half, SKIRT_M, z), (half, SKIRT_M, z), (half, HEAD_M, z), (-half, HEAD_M, z)], look.body, inside)
    b.face([(-half, HEAD_M, z), (half, HEAD_M, z), (half, top, back), (-half, top, back)], look.band, inside)

    def on_screen(x: float, share: float) -> tuple[float, float, float]:
        out = 0.02 * towards
        return x, HEAD_M + share * (top - HEAD_M), z + share * (back - z) + out

    def screen(w: float, low: float, high: float, paint: Paint) -> None:
        b.face([on_screen(-w, low), on_screen(w, low), on_screen(w, high), on_screen(-w, high)], paint, inside)

    screen(half - 0.1, 0.06, 0.74, look.glass)
    screen(0.6 * half, 0.79, 0.95, Paint(LABEL, (0.08, 0.08, 0.08), (0.95, 0.7, 0.2), textures.SIGN, (1.4, 0.8), 0.1))
    out = z + 0.015 * towards
    b.face([(-half, SKIRT_M, out), (half, SKIRT_M, out), (half, 0.42, out), (-half, 0.42, out)], look.lower, inside)
    color, glow = ((0.95, 0.95, 0.9), 3.0) if towards > 0 else ((0.7, 0.05, 0.04), 0.6)
    for side in (-1, 1):
        x0, x1 = side * (half - 0.4), side * (half - 0.12)
        lamp = Paint(LABEL, color, tile=textures.FLAT, glow=glow)
        b.face([(x0, 0.6, out), (x1, 0.6, out), (x1, 0.78, out), (x0, 0.78, out)], lamp, inside)


def _advertisement(b: Builder, rng: np.random.Generator, look: _Look, rear: float, front: float) -> None:
    """Large letters below the windows, over a part of a section or all of it."""
    ground, ink = rng.uniform(0.05, 0.95, 3), rng.uniform(0.05, 0.95, 3)
    size = rng.uniform(1.5, 5.0)
    paint = Paint(LABEL, ground, ink, textures.SIGN, (size, 0.7 * size))
    z0, z1 = np.sort(rng.uniform(rear + 0.9, front - 0.9, 2))
    for side in (-1, 1):
        x = side * (look.half + 0.045)
        panel = [(x, 0.4, z0), (x, 0.4, z1), (x, look.sill - 0.05, z1), (x, look.sill - 0.05, z0)]
        b.face(panel, paint, (0.0, 1.0, (rear + front) / 2))


def _collector(b: Builder, look: _Look, z: float) -> None:
    """The arm on the roof that reaches for the wire."""
    bar, knee, top = Paint(LABEL, (0.2, 0.2, 0.21)), look.height + 0.8, look.height + 1.5
    for x in (-0.4, 0.4):
        b.capsule((x, look.height, z - 0.6), (x, knee, z + 0.7), 0.04, 0.04, bar)
        b.capsule((x, knee, z + 0.7), (0.5 * x, top, z - 0.3), 0.03, 0.03, bar)
    b.capsule((-0.8, top, z - 0.3), (0.8, top, z - 0.3), 0.035, 0.035, bar)
