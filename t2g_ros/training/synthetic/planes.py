"""Depth and texture coordinates as linear forms of the camera ray, so that a sample costs a few sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic.camera import View
from t2g_ros.training.synthetic.surfaces import FACE
from t2g_ros.training.synthetic.textures import SIZE

F32 = NDArray[np.float32]


class Planes:
    """The planes of (n,) surfaces as seen from `view`; round shapes are discs that face the camera."""

    def __init__(self, surfaces: NDArray[np.void], view: View) -> None:
        rotation = view.rotation
        normal = surfaces["normal"].astype(np.float64)
        normal[surfaces["kind"] != FACE] = -rotation[2]
        to_camera = view.position - surfaces["points"][:, 0]
        distance = (to_camera * normal).sum(axis=1)
        distance = np.where(np.abs(distance) < 1e-3, 1e-3, distance)
        # 1 / depth = inverse . ray
        self._inverse = _forms(-(normal @ rotation.T) / distance[:, None])
        self._distance = np.abs(distance).astype(np.float32)

        # Textures lie level along `across` and rise along `upward`; on level surfaces they follow x and z.
        level = np.abs(normal[:, 1]) > 0.95
        across = np.stack([normal[:, 2], np.zeros(len(normal)), -normal[:, 0]], axis=1)
        across[level] = (1.0, 0.0, 0.0)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        across *= np.where(across @ [1.0, 0.0, 1e-3] < 0, -1.0, 1.0)[:, None]
        upward = np.cross(normal, across)
        upward[level] = (0.0, 0.0, 1.0)
        upward *= np.where(upward[:, 1] < 0, -1.0, 1.0)[:, None]
        # u = start + depth * (form . ray)
        scale = surfaces["scale"].astype(np.float64)
        axes = [across / scale[:, :1], upward / scale[:, 1:]]
        self._starts = [(to_camera * axis).sum(axis=1).astype(np.float32) for axis in axes]
        self._axes = [_forms(axis @ rotation.T) for axis in axes]
        self._texels = (SIZE / np.sqrt(scale.prod(axis=1)) / view.focal_px).astype(np.float32)

    def at(self, numbers: NDArray[np.intp], ray_x: F32, ray_y: F32) -> tuple[F32, F32, F32, F32]:
        """Return depth in metres, texture coordinates u and v, and texels per pixel, all (n,)."""

        def form(c: F32) -> F32:
            return np.take(c[0], numbers) * ray_x + np.take(c[1], numbers) * ray_y + np.take(c[2], numbers)

        depth = np.float32(1) / np.maximum(form(self._inverse), np.float32(1e-4))
        across, upward = (np.take(c, numbers) + depth * form(a) for c, a in zip(self._starts, self._axes, strict=True))
        # A plane seen at a slant takes in more of its texture along the line of sight.
        slant = np.sqrt(np.maximum(depth / np.take(self._distance, numbers), 1))
        texels = np.take(self._texels, numbers) * depth * slant
        z, u, v, density = (np.asarray(value, np.float32) for value in (depth, across, upward, texels))
        return z, u, v, density


def _forms(rows: NDArray[np.float64]) -> F32:
    """(3, n) with contiguous rows."""
    return np.ascontiguousarray(rows.T, np.float32)
