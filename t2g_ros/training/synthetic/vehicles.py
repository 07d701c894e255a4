"""Models of cars, trucks and buses: origin on the ground at their centre, nose towards +z."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.surfaces import Builder, Paint

CAR_COLORS = (
    (0.85, 0.86, 0.87), (0.75, 0.76, 0.78), (0.55, 0.57, 0.6), (0.3, 0.31, 0.33), (0.12, 0.12, 0.14),
    (0.06, 0.06, 0.07), (0.55, 0.08, 0.08), (0.1, 0.17, 0.4), (0.15, 0.3, 0.5), (0.12, 0.25, 0.18),
    (0.5, 0.42, 0.3), (0.75, 0.6, 0.1),
)  # fmt: skip
GLASS = (0.16, 0.2, 0.24)
RUBBER = (0.07, 0.07, 0.075)


def _lamps(b: Builder, label: str, half: float, y: float, front: float, rear: float) -> None:
    """Head lamps, tail lamps and number plates."""
    inside = (0.0, y, (front + rear) / 2)
    for side in (-1, 1):
        for z, color, glow in ((front + 0.015, (0.95, 0.95, 0.9), 3.0), (rear - 0.015, (0.7, 0.05, 0.04), 0.6)):
            x0, x1 = side * (half - 0.38), side * (half - 0.06)
            lamp = Paint(label, color, tile=textures.FLAT, glow=glow)
            b.face([(x0, y, z), (x1, y + 0.02, z), (x1, y + 0.16, z), (x0, y + 0.14, z)], lamp, inside)
    for z, color in ((front + 0.015, (0.85, 0.85, 0.85)), (rear - 0.015, (0.85, 0.8, 0.55))):
        plate = Paint(label, color, (0.1, 0.1, 0.1), textures.SIGN, (0.5, 0.4))
        b.face([(-0.26, y - 0.2, z), (0.26, y - 0.2, z), (0.26, y - 0.08, z), (-0.26, y - 0.08, z)], plate, inside)


def _wheels(b: Builder, label: str, half: float, radius: float, axles: tuple[float, ...]) -> None:
    angle = np.arange(14) * 2 * np.pi / 14
    for z in axles:
        for side in (-1, 1):
            x = side * (half + 0.015)
            for r, color in ((radius, RUBBER), (0.6 * radius, (0.45, 0.46, 0.48)), (0.15 * radius, (0.1, 0.1, 0.1))):
                x += side * 0.004
                ring = np.stack([np.full(14, x), radius + r * np.sin(angle), z + r * np.cos(angle)], axis=-1)
                b.face(ring, Paint(label, color), (0, radius, z))


def _shadow(b: Builder, half: float, length: float) -> None:
    """Contact shadow; what it falls on is road."""
    b.layer = 5.0
    for grow, shade in ((0.18, 0.17), (0.0, 0.08)):
        x, z = half + grow, length / 2 + grow
        b.ground(-x, x, -z, z, 0.004, Paint("road", (shade, shade, shade + 0.01), tile=textures.ASPHALT, scale=(6, 6)))
    b.layer = 0.0


def car(rng: np.random.Generator) -> NDArray[np.void]:
    """A hatchback, saloon, estate or off-roader in a random colour."""
    b = Builder()
    color = np.clip(np.array(CAR_COLORS[rng.integers(len(CAR_COLORS))]) * rng.uniform(0.85, 1.15), 0.03, 0.95)
    body = Paint("car", color, tile=textures.PLASTER, scale=(9, 9))
    length, half = rng.uniform(3.9, 4.8), rng.uniform(0.84, 0.95)
    height, belt = rng.uniform(1.42, 1.72), rng.uniform(0.86, 0.98)
    f, r = length / 2, -length / 2
    kind = rng.integers(3)
    screen, roof_front = f - rng.uniform(1.0, 1.3), f - rng.uniform(1.75, 2.0)
    roof_rear, back = ((r + 1.2, r + 0.55), (r + 0.55, r + 0.12), (r + 0.35, r + 0.05))[kind]
    sill, roof_half = 0.22, 0.78 * half
    _shadow(b, half, length)
    inside = (0.0, 0.6, 0.0)

    def across(z0: float, y0: float, h0: float, z1: float, y1: float, h1: float, paint: Paint) -> None:
        b.face([(-h0, y0, z0), (h0, y0, z0), (h1, y1, z1), (-h1, y1, z1)], paint, inside)

    dark = Paint("car", (0.1, 0.1, 0.11))
    nose = belt - 0.16
    for end, deck in ((f, nose), (r, belt if kind else belt - 0.03)):
        across(end, sill, half, end, 0.45, half, dark)
        across(end, 0.45, half, end, deck, half, body)
    across(f, nose, half, screen, belt, half, body.tinted(1.1))
    across(back, belt, half, r, belt - 0.03, half, body.tinted(1.1))
    glass = Paint("car", GLASS, tile=textures.GLASS, scale=(2.5, 0.9))
    across(screen, belt, half, roof_front, height, roof_half, glass)
    across(back, belt, half, roof_rear, height, roof_half, glass)
    b.face(
        [(-roof_half, height, roof_front), (roof_half, height, roof_front),
         (roof_half, height, roof_rear), (-roof_half, height, roof_rear)],
        body.tinted(1.15), inside,
    )  # fmt: skip
    for s in (-1, 1):
        h, top = s * half, s * roof_half
        lower = [(h, sill, f), (h, nose, f), (h, belt, screen), (h, belt, back), (h, belt - 0.03, r), (h, sill, r)]
        b.face(lower, body, inside)
        b.face([(h, sill, f), (h, 0.34, f), (h, 0.34, r), (h, sill, r)], dark, inside)
        cabin = [(h, belt, screen), (top, height, roof_front), (top, height, roof_rear), (h, belt, back)]
        b.face(cabin, body, inside)
        lo, hi = np.array([h, belt, 0]), np.array([top, height, 0])
        bottom, upper = lo + 0.08 * (hi - lo), lo + 0.86 * (hi - lo)
        front_low, front_high = screen - 0.16, roof_front - 0.02
        rear_low, rear_high = back + 0.2, roof_rear + 0.08
        middle = (front_high + rear_high) / 2
        for z0, z1, z2, z3 in (
            (front_low, front_high, middle + 0.05, middle + 0.05),
            (middle - 0.05, middle - 0.05, rear_high, rear_low),
        ):
            pane = [(*bottom[:2], z0), (*upper[:2], z1), (*upper[:2], z2), (*bottom[:2], z3)]
            b.face(pane, glass, inside)
    _lamps(b, "car", half, nose - 0.2, f, r)
    _wheels(b, "car", half, 0.32, (f - 0.8, r + 0.75))
    return b.build()


def truck(rng: np.random.Generator) -> NDArray[np.void]:
    """A lorry with a box body."""
    b = Builder()
    length, half, height = rng.uniform(6.5, 9.5), rng.uniform(1.15, 1.25), rng.uniform(2.9, 3.6)
    f, r = length / 2, -length / 2
    hue = rng.uniform(0.15, 0.9, 3)
    cab = Paint("truck", hue * 0.5 + 0.25, tile=textures.PLASTER, scale=(5, 5))
    cargo = Paint("truck", 0.55 + 0.3 * rng.random() + 0.12 * hue - 0.06, hue, textures.SIGN, (3.2, 4.0))
    dark = Paint("truck", (0.09, 0.09, 0.1))
    _shadow(b, half, length)
    # Cab and cargo are objects of their own, of which the nearer one hides the other.
    b.anchor = (0.0, r + (length - 2.15) / 2)
    b.box((-half + 0.1, 0.45, r), (half - 0.1, 1.0, f - 0.3), dark)
    _wheels(b, "truck", half - 0.1, 0.48, (f - 1.1, r + 1.0, r + 2.1))
    b.box((-half - 0.04, 0.95, r), (half + 0.04, height, f - 2.15), cargo)
    back = r - 0.01
    for x in (-0.02, -half, half - 0.04):
        b.face([(x, 1.0, back), (x + 0.05, 1.0, back), (x + 0.05, height, back), (x, height, back)], dark, (0, 1, 0))
    _lamps(b, "truck", half, 0.75, f, r)
    b.anchor = (0.0, f - 1.0)
    b.box((-half, 0.55, f - 2.0), (half, 2.7, f), cab)
    inside = (0.0, 1.5, f - 1)
    glass = Paint("truck", GLASS, tile=textures.GLASS, scale=(2.5, 1.2))
    z = f + 0.01
    screen = [(-half + 0.12, 1.6, z), (half - 0.12, 1.6, z), (half - 0.12, 2.5, z), (-half + 0.12, 2.5, z)]
    b.face(screen, glass, inside)
    b.face([(-half + 0.3, 0.7, z), (half - 0.3, 0.7, z), (half - 0.3, 1.35, z), (-half + 0.3, 1.35, z)], dark, inside)
    for s in (-half - 0.01, half + 0.01):
        b.face([(s, 1.6, f - 0.2), (s, 2.5, f - 0.4), (s, 2.5, f - 1.4), (s, 1.6, f - 1.4)], glass, inside)
    _lamps(b, "truck", half, 0.75, f, r)
    return b.build()


def bus(rng: np.random.Generator) -> NDArray[np.void]:
    """A city bus."""
    b = Builder()
    length, half, height = rng.uniform(10.0, 12.0), 1.26, rng.uniform(3.0, 3.2)
    f, r = length / 2, -length / 2
    choices = (
        (0.75, 0.12, 0.1), (0.85, 0.7, 0.15), (0.15, 0.35, 0.6), (0.2, 0.5, 0.3), (0.85, 0.85, 0.83),
        (0.07, 0.07, 0.09), (0.4, 0.41, 0.43),
    )  # fmt: skip
    body = Paint("bus", choices[rng.integers(len(choices))], tile=textures.PLASTER, scale=(7, 7))
    glass = Paint("bus", GLASS, tile=textures.GLASS, scale=(3.0, 1.5), glow=0.03)
    dark = Paint("bus", (0.1, 0.1, 0.11))
    _shadow(b, half, length)
    b.box((-half, 0.32, r), (half, height, f), body, body.tinted(1.3))
    inside = (0.0, 1.5, 0.0)
    for s in (-half - 0.01, half + 0.01):
        for k in range(6):
            z0 = r + 0.5 + k * (length - 1.0) / 6
            z1 = z0 + (length - 1.0) / 6 - 0.14
            b.face([(s, 1.35, z0), (s, 1.35, z1), (s, 2.45, z1), (s, 2.45, z0)], glass, inside)
        b.face([(s, 0.32, r), (s, 0.32, f), (s, 0.5, f), (s, 0.5, r)], dark, inside)
    for z, low in ((f + 0.01, 1.0), (r - 0.01, 1.6)):
        w = half - 0.1
        b.face([(-w, low, z), (w, low, z), (w, 2.5, z), (-w, 2.5, z)], glass, inside)
        line = Paint("bus", (0.08, 0.08, 0.08), (0.95, 0.65, 0.15), textures.SIGN, (1.6, 1.1), glow=0.1)
        b.face([(-0.8, 2.6, z), (0.8, 2.6, z), (0.8, 2.9, z), (-0.8, 2.9, z)], line, inside)
    grille = r - 0.012
    b.face([(-0.8, 0.5, grille), (0.8, 0.5, grille), (0.8, 1.35, grille), (-0.8, 1.35, grille)], dark, inside)
    _lamps(b, "bus", half, 0.62, f, r)
    _wheels(b, "bus", half, 0.48, (f - 2.6, r + 2.9))
    return b.build()
