"""Models of pedestrians, cyclists and motorcycles, posed by a phase so that they walk and pedal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.surfaces import Builder, Paint

SKIN = ((0.85, 0.65, 0.52), (0.72, 0.5, 0.37), (0.5, 0.33, 0.23), (0.32, 0.21, 0.15))
HAIR = ((0.1, 0.08, 0.06), (0.3, 0.2, 0.12), (0.55, 0.42, 0.25), (0.5, 0.5, 0.5))
STEP_M = 1.45
"""Ground covered by one full cycle of both legs."""
CROWD, POSES = 64, 32
"""Different pedestrians, and poses of each in one cycle: more poses a second than most cameras take frames."""


@dataclass(frozen=True)
class Looks:
    """The clothes and the build of one person."""

    height: float
    width: float
    skin: NDArray[np.floating]
    hair: NDArray[np.floating]
    top: NDArray[np.floating]
    legs: NDArray[np.floating]
    bag: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Looks:
        """Someone at random; most wear muted colours."""
        tone = rng.uniform(0.05, 0.8) * np.ones(3) + rng.uniform(-0.2, 0.2, 3) * rng.choice([0.3, 1.5])
        trousers = rng.uniform(0.05, 0.35) * np.array([0.9, 0.95, rng.uniform(1, 1.6)])
        return cls(
            float(rng.uniform(0.86, 1.08)),
            float(rng.uniform(0.9, 1.25)),
            np.array(SKIN[rng.integers(4)]),
            np.array(HAIR[rng.integers(4)]),
            np.clip(tone, 0.04, 0.9),
            trousers,
            bool(rng.random() < 0.4),
        )


def _body(b: Builder, who: Looks, label: str, hip: tuple[float, float], neck: tuple[float, float]) -> None:
    """Trunk and head, given (y, z) of hip and neck."""
    w, (hy, hz), (ny, nz) = who.width, hip, neck
    cloth = Paint(label, who.top, tile=textures.PLASTER, scale=(0.8, 0.8))
    for x in (-0.10, 0.10):
        b.capsule((x * w, hy, hz), (1.25 * x * w, ny - 0.1, nz), 0.125 * w, 0.12 * w, cloth)
    b.capsule((0, ny - 0.05, nz), (0, ny + 0.1, nz + 0.01), 0.06, 0.06, Paint(label, who.skin))
    b.blob((0, ny + 0.2, nz + 0.0), 0.125, Paint(label, who.hair))
    b.blob((0, ny + 0.16, nz + 0.04), 0.1, Paint(label, who.skin), front=(0, 0, 1))


def pedestrian(who: Looks, phase: float) -> NDArray[np.void]:
    """Someone walking towards +z; `phase` counts cycles of the legs."""
    b = Builder()
    swing = np.sin(2 * np.pi * phase)
    w = who.width
    trousers, sleeve = Paint("person", who.legs), Paint("person", who.top * 0.88)
    shoes, skin = Paint("person", who.legs * 0.4), Paint("person", who.skin)
    hip, neck = 0.9 + 0.02 * abs(swing), 1.42 + 0.02 * abs(swing)

    def arm(side: int) -> None:
        reach = -0.24 * swing * side
        elbow = (side * 0.26 * w, 1.08, 0.6 * reach)
        hand = (side * 0.25 * w, 0.84, reach + 0.06)
        b.capsule((side * 0.21 * w, neck - 0.08, 0), elbow, 0.065 * w, 0.055 * w, sleeve)
        b.capsule(elbow, hand, 0.055 * w, 0.045, sleeve)
        b.capsule(hand, hand, 0.045, 0.045, skin)

    arm(-1)
    for side in (-1, 1):
        ahead = 0.30 * swing * side
        lift = 0.10 * max(np.cos(2 * np.pi * phase) * side, 0.0)
        knee = (side * 0.1 * w, 0.48 + lift, 0.6 * ahead + 0.5 * lift)
        foot = (side * 0.1 * w, 0.07 + lift, ahead - 0.8 * lift)
        b.capsule((side * 0.09 * w, hip, 0), knee, 0.10 * w, 0.075 * w, trousers)
        b.capsule(knee, foot, 0.075 * w, 0.06 * w, trousers)
        b.capsule(foot, (foot[0], foot[1] - 0.01, foot[2] + 0.14), 0.06, 0.05, shoes)
    _body(b, who, "person", (hip, 0.0), (neck, 0.0))
    if who.bag:
        bag = Paint("person", who.top[[2, 0, 1]] * 0.6)
        b.capsule((0.3 * w, 0.95, -0.05), (0.3 * w, 0.8, -0.05), 0.12, 0.13, bag)
    arm(1)
    model = b.build()
    model["points"] *= who.height
    model["radii"] *= who.height
    return model


@lru_cache(CROWD * POSES)
def _pose(who: int, step: int) -> NDArray[np.void]:
    return pedestrian(Looks.draw(np.random.default_rng((31, who))), step / POSES)


def walking(who: int, phase: float) -> NDArray[np.void]:
    """Person `who` of the crowd in the nearest of their poses; shared by all drives, so don't write to it."""
    return _pose(who % CROWD, round(phase * POSES) % POSES)


def _wheel(b: Builder, label: str, z: float, radius: float, tyre: float, spoked: bool) -> None:
    angle = np.arange(14) * 2 * np.pi / 14
    b.capsule((0, tyre, z), (0, 2 * radius - tyre, z), tyre, tyre, Paint(label, (0.06, 0.06, 0.06)))
    discs = ((1.0, (0.06, 0.06, 0.06)), (0.86, (0.34, 0.34, 0.34) if spoked else (0.25, 0.25, 0.26)))
    for share, color in (*discs, (0.12, (0.2, 0.2, 0.2))):
        ring = [(0.0, radius + share * radius * np.sin(a), z + share * radius * np.cos(a)) for a in angle]
        b.face(ring, Paint(label, color))


def _rider(
    b: Builder, who: Looks, hip: tuple[float, float], feet: tuple[float, ...], grip: tuple[float, float]
) -> None:
    """Someone sitting at `hip`, the feet at (y, z, y, z) and the hands at `grip`, all (y, z)."""
    w = who.width
    legs, sleeve = Paint("rider", who.legs), Paint("rider", who.top * 0.88)
    shoes = Paint("rider", who.legs * 0.4)
    neck = (hip[0] + 0.5, hip[1] + 0.22)
    for side, (fy, fz) in ((-1, feet[:2]), (1, feet[2:])):
        knee = (side * 0.13 * w, (hip[0] + fy) / 2 + 0.1, hip[1] + 0.36)
        b.capsule((side * 0.1 * w, hip[0], hip[1]), knee, 0.1 * w, 0.075 * w, legs)
        b.capsule(knee, (side * 0.13, fy, fz), 0.075 * w, 0.05, legs)
        b.capsule((side * 0.13, fy, fz), (side * 0.13, fy - 0.02, fz + 0.14), 0.055, 0.05, shoes)
    for side in (-1, 1):
        shoulder = (side * 0.2 * w, neck[0] - 0.1, neck[1])
        b.capsule(shoulder, (side * 0.25, *grip), 0.065 * w, 0.045, sleeve)
    _body(b, who, "rider", hip, neck)
    if who.bag:
        b.blob((0, neck[0] + 0.24, neck[1]), 0.14, Paint("rider", 0.3 + 0.6 * who.top[::-1]))


def bicycle(color: NDArray[np.floating], who: Looks | None, phase: float) -> NDArray[np.void]:
    """A bicycle heading for +z, ridden if there is someone to ride it."""
    b = Builder()
    for z in (-0.52, 0.54):
        _wheel(b, "bicycle", z, 0.34, 0.022, True)
    frame = Paint("bicycle", color)
    seat, bottom, head = (0, 0.86, -0.22), (0, 0.3, -0.05), (0, 0.82, 0.34)
    for p, q in ((seat, bottom), (bottom, head), (head, (0, 0.8, -0.18)), (bottom, (0, 0.34, -0.52))):
        b.capsule(p, q, 0.025, 0.025, frame)
    b.capsule((0, 1.0, 0.32), (0, 0.34, 0.54), 0.022, 0.022, frame)
    b.capsule((-0.27, 1.02, 0.32), (0.27, 1.02, 0.32), 0.022, 0.022, Paint("bicycle", (0.1, 0.1, 0.1)))
    b.capsule((0, 0.94, -0.32), (0, 0.94, -0.12), 0.05, 0.035, Paint("bicycle", (0.08, 0.08, 0.08)))
    if who is not None:
        c, s = 0.17 * np.cos(2 * np.pi * phase), 0.17 * np.sin(2 * np.pi * phase)
        _rider(b, who, (0.98, -0.22), (0.3 + s, -0.05 + c, 0.3 - s, -0.05 - c), (1.04, 0.3))
    return b.build()


def motorcycle(color: NDArray[np.floating], who: Looks | None, scooter: bool = False) -> NDArray[np.void]:
    """A motorcycle, or a scooter, heading for +z, ridden if there is someone to ride it."""
    b = Builder()
    (_scooter if scooter else _motorbike)(b, color)
    b.blob((0, 0.86, 0.62), 0.08, Paint("motorcycle", (0.95, 0.95, 0.85), glow=2.0), front=(0, 0, 1))
    b.blob((0, 0.72, -0.82), 0.06, Paint("motorcycle", (0.7, 0.05, 0.05), glow=0.5), front=(0, 0, -1))
    if who is not None:
        _rider(b, who, (0.88, -0.25), (0.32, -0.1, 0.32, -0.1), (1.03, 0.38))
    return b.build()


def _motorbike(b: Builder, color: NDArray[np.floating]) -> None:
    for z in (-0.66, 0.7):
        _wheel(b, "motorcycle", z, 0.31, 0.07, False)
    body, dark = Paint("motorcycle", color, tile=textures.PLASTER), Paint("motorcycle", (0.1, 0.1, 0.1))
    b.capsule((0, 0.45, -0.3), (0, 0.45, 0.28), 0.2, 0.18, dark)
    b.capsule((0, 0.9, 0.48), (0, 0.32, 0.7), 0.06, 0.05, Paint("motorcycle", (0.5, 0.5, 0.52)))
    b.capsule((0, 0.72, -0.15), (0, 0.82, 0.28), 0.16, 0.17, body)
    b.capsule((0, 0.74, -0.75), (0, 0.74, -0.2), 0.1, 0.15, dark)
    b.capsule((0, 0.92, 0.46), (0, 0.75, 0.55), 0.16, 0.15, body)
    b.capsule((-0.36, 1.02, 0.4), (0.36, 1.02, 0.4), 0.025, 0.025, dark)


def _scooter(b: Builder, color: NDArray[np.floating]) -> None:
    """Small wheels, a shield before the legs, a low floor and a closed body under the seat."""
    for z in (-0.58, 0.62):
        _wheel(b, "motorcycle", z, 0.25, 0.08, False)
    body, dark = Paint("motorcycle", color, tile=textures.PLASTER), Paint("motorcycle", (0.08, 0.08, 0.09))
    chrome = Paint("motorcycle", (0.62, 0.62, 0.64))
    b.capsule((0.14, 0.3, -0.75), (0.14, 0.28, -0.25), 0.06, 0.05, chrome)
    b.capsule((0, 0.3, -0.1), (0, 0.28, 0.32), 0.13, 0.13, dark)
    b.capsule((0, 0.55, -0.6), (0, 0.5, -0.2), 0.2, 0.19, body)
    b.capsule((0, 0.74, -0.72), (0, 0.76, -0.12), 0.11, 0.13, dark)
    b.capsule((0, 0.45, 0.62), (0, 0.42, 0.7), 0.13, 0.11, body)
    b.capsule((0, 0.38, 0.36), (0, 0.92, 0.5), 0.19, 0.14, body)
    b.capsule((0, 0.98, 0.46), (0, 1.02, 0.44), 0.13, 0.12, body.tinted(0.75))
    b.capsule((-0.33, 1.04, 0.38), (0.33, 1.04, 0.38), 0.03, 0.03, dark)
    for side in (-0.3, 0.3):
        b.capsule((side, 1.05, 0.4), (1.15 * side, 1.22, 0.42), 0.012, 0.05, dark)
