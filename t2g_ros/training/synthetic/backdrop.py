"""What is too far away to come nearer: the sky, and the hills, trees and roofs along the horizon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.plants import leaves
from t2g_ros.training.synthetic.shading import SKY_HEIGHT_M
from t2g_ros.training.synthetic.street import Street
from t2g_ros.training.synthetic.surfaces import GROUND_LAYER, MAX_POINTS, Builder, Paint

DISTANCE_M = 230.0


def build(seed: int, street: Street) -> NDArray[np.void]:
    """The sky (always surface 0) and the horizon, relative to the camera's z."""
    rng = np.random.default_rng((seed, 50))
    b = Builder()
    b.layer = 100 * GROUND_LAYER
    sky = Paint("sky", (1, 1, 1), (1, 1, 1), textures.CLOUDS, (900, 900))
    b.face([(0, SKY_HEIGHT_M, 0), (0, SKY_HEIGHT_M, 1), (1, SKY_HEIGHT_M, 0)], sky, (0, SKY_HEIGHT_M + 1, 0))
    b.layer = 2 * GROUND_LAYER
    far = Paint("terrain", street.grass, (0.4, 0.33, 0.22), textures.GRASS, (7, 7))
    b.ground(-900, 900, 0, 1500, -0.05, far)
    b.layer = 1.0  # before the objects, after the ground
    for x in np.arange(-420, 420, 9.0):
        z, tall = DISTANCE_M + rng.uniform(0, 30), rng.random()
        if tall < 0.3 * street.zone_shares[0] + 0.1:
            height, half = rng.uniform(6, 6 + 4 * street.floors), rng.uniform(4, 8)
            wall = rng.uniform(0.35, 0.7) * np.array([1, 0.97, 0.92])
            paint = Paint("building", wall, (0.15, 0.18, 0.2), textures.FACADES[rng.integers(8)], (13, 12))
            corners = [(x - half, 0, z), (x + half, 0, z), (x + half, height, z), (x - half, height, z)]
            b.face(corners, paint)
        else:
            radius = rng.uniform(4, 9)
            ring = radius * (1 + 0.15 * rng.uniform(-1, 1, MAX_POINTS))
            b.blob((x, 0.35 * radius, z), ring, leaves(street.leaf * rng.uniform(0.7, 1.1), 0.7))
    return b.build()
