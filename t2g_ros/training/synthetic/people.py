"""Models of people: pedestrians, posed by a phase so that they walk, and those who sit on something."""

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


def rider(b: Builder, who: Looks, hip: tuple[float, float], feet: tuple[float, ...], grip: tuple[float, float]) -> None:
    """Add someone sitting at `hip`, the feet at (y, z, y, z) and the hands at `grip`, all (y, z)."""
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
