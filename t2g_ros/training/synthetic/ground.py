"""The ground of a block: road, markings, kerbs, sidewalks, verges and yards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.street import Street
from t2g_ros.training.synthetic.surfaces import GROUND_LAYER, Builder, Paint
from t2g_ros.training.synthetic.trams import rails

KERB_M = 0.12
FAR_M = 220.0


def build(
    rng: np.random.Generator, street: Street, z0: float, start: float, z1: float, next_crossing: bool
) -> NDArray[np.void]:
    """The ground from `z0` to `z1`; the crossing street, if there is one, lies before `start`."""
    b = Builder()
    grass = Paint("terrain", street.grass, (0.4, 0.33, 0.22), textures.GRASS, (7, 7))
    road = Paint("road", street.asphalt, tile=textures.ASPHALT, scale=(9, 9))
    walk = Paint("sidewalk", street.paving, street.paving * 0.6, textures.PAVING, (3.2, 3.2))
    kerb = Paint("sidewalk", np.clip(street.paving * 1.1, 0, 0.9), tile=textures.PLASTER, scale=(3, 3))
    b.layer = GROUND_LAYER
    b.ground(-FAR_M, FAR_M, z0, z1, 0.0, grass)
    b.layer = GROUND_LAYER / 10
    if start > z0:
        b.ground(-FAR_M, FAR_M, z0, start, 0.0, road)
    x = street.kerb_x
    b.layer /= 10
    b.ground(-x, x, z0, z1, 0.0, road)
    b.layer /= 10
    paved_yard = rng.random() < 0.4
    for side in (-1, 1):
        outer = street.front_x if paved_yard else street.border_x + 0.8
        _strip(b, side * x, side * street.walk_x, start, z1, walk if street.verge_m < 1 else grass)
        _strip(b, side * street.walk_x, side * outer, start, z1, walk)
        for far, near in ((start + 2.0, start), (z1, z1 - 2.0)):
            if (near == start and start > z0) or (far == z1 and next_crossing):
                _strip(b, side * street.walk_x, side * FAR_M, near, far, walk)
        b.face(
            [(side * x, 0, start), (side * x, 0, z1), (side * x, KERB_M, z1), (side * x, KERB_M, start)],
            kerb, (side * (x + 1), 0, start),
        )  # fmt: skip
        inner = sorted((side * x, side * (x + 0.18)))
        b.ground(inner[0], inner[1], start, z1, KERB_M, kerb)
        if start > z0:
            x0, x1 = side * x, side * FAR_M
            end = [(x0, 0, start), (x1, 0, start), (x1, KERB_M, start), (x0, KERB_M, start)]
            b.face(end, kerb, (side * x, 0, start + 1))
    b.layer = 10.0
    _markings(b, rng, street, z0, start, z1, next_crossing)
    return b.build()


def _strip(b: Builder, x0: float, x1: float, z0: float, z1: float, paint: Paint) -> None:
    b.ground(min(x0, x1), max(x0, x1), z0, z1, KERB_M, paint)


def _markings(
    b: Builder, rng: np.random.Generator, street: Street, z0: float, start: float, z1: float, next_crossing: bool
) -> None:
    """Wheel tracks, patches and covers in the asphalt, lane lines, zebra crossings and stop lines."""
    wear = rng.uniform(0.94, 1.03)
    for side in (-1, 1):
        for k in range(street.lanes):
            for track in (-0.8, 0.8):
                x = side * (k + 0.5) * street.lane_m + track
                worn = Paint("road", street.asphalt * wear, tile=textures.ASPHALT, scale=(7, 7))
                b.ground(x - 0.28, x + 0.28, z0, z1, 0.0, worn)
    for _ in range(rng.poisson(3)):
        w, d = rng.uniform(0.4, 1.6), rng.uniform(0.5, 6)
        x, z = rng.uniform(-street.kerb_x + w, street.kerb_x - w), rng.uniform(start, z1 - d)
        patch = Paint("road", street.asphalt * rng.uniform(0.72, 1.12), tile=textures.ASPHALT, scale=(5, 5))
        b.ground(x - w, x + w, z, z + d, 0.0, patch)
    for _ in range(rng.poisson(1.5)):
        x, z = rng.uniform(-0.9, 0.9) * street.kerb_x, rng.uniform(start, z1)
        angle = np.arange(12) * np.pi / 6
        cover = np.stack([x + 0.33 * np.cos(angle), 0 * angle, z + 0.33 * np.sin(angle)], axis=-1)
        b.face(cover, Paint("road", (0.22, 0.2, 0.19), tile=textures.ASPHALT, scale=(1, 1)), (x, -1, z))
    if street.trams:
        for x in street.rails_x:
            rails(b, x, z0, z1)
    paint = Paint("road", street.marking, tile=textures.ASPHALT, scale=(4, 4))
    white = Paint("road", (0.84, 0.84, 0.83), tile=textures.ASPHALT, scale=(4, 4))
    begin = start + (4.0 if start > z0 else 0.0)
    end = z1 - (6.0 if next_crossing else 0.0)

    def dashes(x: float, mark: float, gap: float, color: Paint) -> None:
        for z in np.arange(begin, end - mark, mark + gap):
            b.ground(x - 0.07, x + 0.07, z, z + mark, 0.0, color)

    if street.lanes > 1 or street.lane_m > 3.5:
        for x in (-0.14, 0.14):
            b.ground(x - 0.06, x + 0.06, begin, end, 0.0, paint)
    else:
        dashes(0.0, 3.0, 3.0 + 3.0 * (street.lane_m > 3.3), paint)
    for side in (-1, 1):
        for k in range(1, street.lanes):
            dashes(side * k * street.lane_m, 3.0, 6.0, white)
        edge = side * street.lanes * street.lane_m - side * 0.15
        if street.parking_m:
            b.ground(edge - 0.05, edge + 0.05, begin, end, 0.0, white)
        elif street.lane_m > 3.4:
            for x in (edge - 0.1 * side, edge - 0.3 * side):
                b.ground(x - 0.04, x + 0.04, begin, end, 0.0, paint)
    if next_crossing:
        stripe = 0.5
        for x in np.arange(-street.kerb_x + 0.4, street.kerb_x - 0.4, 2 * stripe):
            b.ground(x, x + stripe, z1 - 3.6, z1 - 0.6, 0.0, white)
        lanes = sorted((street.drives_on * 0.2, street.drives_on * street.lanes * street.lane_m))
        b.ground(lanes[0], lanes[1], z1 - 5.3, z1 - 4.9, 0.0, white)
