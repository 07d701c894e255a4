"""Shadows in the sun: of the house fronts on everything, of all things smaller on the ground."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels import CITYSCAPES19
from t2g_ros.training.synthetic.street import Street
from t2g_ros.training.synthetic.surfaces import BLOB, CAPSULE

F32 = NDArray[np.float32]
TEXEL_M = 0.15
SIDE_M, BACK_M, AHEAD_M = 24.0, 10.0, 70.0
_BITS = 4


class Shadows:
    """The shadows of one instant.

    Args:
        surfaces: everything in view.
        sun_towards: (3,) unit vector to the sun.
        street: its cross-section.
        heights: (2, n) of the left and right house fronts, per metre of z from `z0` on.
        z0: where `heights` begins.
        camera_z: where the camera is.
    """

    def __init__(
        self, surfaces: NDArray[np.void], sun_towards: F32, street: Street, heights: F32, z0: float, camera_z: float
    ) -> None:
        self._sun, self._heights, self._z0 = sun_towards, heights, z0
        self._front_x = street.border_x + 0.8
        # Whole texels of the world, so that the map does not swim as the camera moves.
        self._origin = np.array([-SIDE_M, TEXEL_M * np.floor((camera_z - BACK_M) / TEXEL_M)], np.float32)
        self._map = self._cast(surfaces)

    def _cast(self, surfaces: NDArray[np.void]) -> NDArray[np.uint8]:
        """Project everything along the sun's rays onto the ground: 255 in the sun, 0 in the shadow."""
        size = int(2 * SIDE_M / TEXEL_M), int((BACK_M + AHEAD_M) / TEXEL_M)
        out = np.full(size[::-1], 255, np.uint8)
        casts = (surfaces["layer"] == 0) & (surfaces["label"] != CITYSCAPES19.id_of("building"))
        casts &= np.abs(surfaces["anchor"][:, 1] - self._origin[1] - 0.5 * AHEAD_M) < 0.5 * AHEAD_M + 20
        rows = surfaces[casts]
        points = rows["points"]
        fall = self._sun[[0, 2]] / max(float(self._sun[1]), 0.05)
        spots = points[..., [0, 2]] - points[..., 1:2] * fall - self._origin
        fixed = np.round((spots / TEXEL_M - 0.5) * (1 << _BITS)).astype(np.int32)
        radius = rows["radii"].max(axis=1) / TEXEL_M
        for i, (kind, count) in enumerate(zip(rows["kind"].tolist(), rows["count"].tolist(), strict=True)):
            if kind == BLOB:
                cv2.circle(out, fixed[i, 0].tolist(), round(0.95 * radius[i] * (1 << _BITS)), 0, -1, cv2.LINE_8, _BITS)
            elif kind == CAPSULE:
                ends = fixed[i, 0].tolist(), fixed[i, 1].tolist()
                cv2.line(out, *ends, 0, max(1, round(2 * radius[i])), cv2.LINE_8, _BITS)
            else:
                cv2.fillPoly(out, [fixed[i, :count]], 0, cv2.LINE_8, _BITS)
        return np.asarray(cv2.blur(out, (3, 3)), np.uint8)

    def sunlight(self, x: F32, y: F32, z: F32, ground: NDArray[np.bool_]) -> F32:
        """Return (n,) 1 in the sun to 0 in the shadow; `ground` marks points on the ground."""
        side = 1 if self._sun[0] > 0 else -1
        run = np.maximum(side * (side * self._front_x - x), 0) / max(abs(float(self._sun[0])), 1e-3)
        at = np.clip(z + run * self._sun[2] - self._z0, 0, self._heights.shape[1] - 1)
        hit = self._heights[(side + 1) // 2][at.astype(np.int32)]
        light = np.clip(0.5 + 1.2 * (y + run * self._sun[1] - hit), 0, 1)
        u, v = (x - self._origin[0]) / TEXEL_M - 0.5, (z - self._origin[1]) / TEXEL_M - 0.5
        rows = -(-len(x) // 4096)
        grid = [np.resize(a, rows * 4096).reshape(rows, 4096).astype(np.float32) for a in (u, v)]
        spots = cv2.remap(
            self._map, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255
        )
        return np.where(ground, light * (spots.ravel()[: len(x)] / np.float32(255)), light)
