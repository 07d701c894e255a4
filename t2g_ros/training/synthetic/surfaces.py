"""The one record everything in a drive is made of: a painted patch in world metres (x right, y up, z ahead)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from t2g_ros.labels import CITYSCAPES19

MAX_POINTS = 16
FACE, CAPSULE, BLOB = range(3)
GROUND_LAYER = 1e6
"""Layers above zero are painted before all objects, the highest first; objects have layer 0."""

SURFACE = np.dtype(
    [
        ("kind", "u1"),
        ("points", "f4", (MAX_POINTS, 3)),  # face: its corners; capsule: both ends; blob: its centre
        ("count", "i4"),  # corners in use
        ("radii", "f4", (MAX_POINTS,)),  # capsule: at both ends; blob: all around
        ("normal", "f4", (3,)),
        ("two_sided", "?"),
        ("label", "u1"),
        ("base", "f4", (3,)),
        ("second", "f4", (3,)),
        ("tile", "i4"),
        ("scale", "f4", (2,)),
        ("glow", "f4"),
        ("layer", "f4"),
        ("anchor", "f4", (2,)),
    ]
)


@dataclass(frozen=True)
class Paint:
    """What a surface is and how it looks.

    Attributes:
        label: class name of Cityscapes-19.
        base: colour in 0..1; `second` is the colour where the tile's mask is set (glass, mortar, gaps).
        tile: texture of the atlas, `scale` the metres (across, up) that it covers once.
        glow: own light, in units of a sunlit white.
    """

    label: str
    base: Sequence[float] | NDArray[np.floating]
    second: Sequence[float] | NDArray[np.floating] = (0.1, 0.12, 0.15)
    tile: int = 0
    scale: tuple[float, float] = (2.0, 2.0)
    glow: float = 0.0

    def tinted(self, factor: float) -> Paint:
        """The same paint, brighter or darker."""
        return replace(self, base=np.clip(np.asarray(self.base) * factor, 0, 1))


class Builder:
    """Collects surfaces; inside one object they are painted in the order they were added."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.void]] = []
        self.anchor = (0.0, 0.0)
        self.layer = 0.0

    def _add(self, kind: int, points: NDArray[np.float32], paint: Paint) -> NDArray[np.void]:
        row = np.zeros(1, SURFACE)
        n = min(len(points), MAX_POINTS)
        row["kind"], row["count"] = kind, n
        row["points"][0, :n] = points[:n]
        row["points"][0, n:] = points[n - 1]
        row["label"] = CITYSCAPES19.id_of(paint.label)
        row["base"], row["second"] = paint.base, paint.second
        row["tile"], row["scale"], row["glow"] = paint.tile, paint.scale, paint.glow
        row["layer"], row["anchor"] = self.layer, self.anchor
        self._rows.append(row)
        return row

    def face(self, points: ArrayLike, paint: Paint, inside: ArrayLike | None = None) -> None:
        """Add a flat polygon; its first corner is the texture's origin.

        With a point `inside` the body it belongs to, it is seen from outside only; without, from both sides.
        """
        corners = np.asarray(points, np.float32)
        row = self._add(FACE, corners, paint)
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        if inside is None:
            row["two_sided"] = True
        elif normal @ (corners[0] - np.asarray(inside, np.float32)) < 0:
            normal = -normal
        row["normal"] = normal

    def box(self, lo: Sequence[float], hi: Sequence[float], paint: Paint, top: Paint | None = None) -> None:
        """Add the four sides and the top of an upright box."""
        (x0, y0, z0), (x1, y1, z1) = lo, hi
        inside = ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2)
        self.face([(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)], top or paint, inside)
        for x in (x0, x1):
            self.face([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)], paint, inside)
        for z in (z0, z1):
            self.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], paint, inside)

    def capsule(self, a: ArrayLike, b: ArrayLike, radius_a: float, radius_b: float, paint: Paint) -> None:
        """Add a round bar from `a` to `b`: a pole, a trunk, a limb."""
        row = self._add(CAPSULE, np.asarray([a, b], np.float32), paint)
        row["radii"][0, :2] = radius_a, radius_b

    def blob(self, centre: ArrayLike, radii: ArrayLike, paint: Paint) -> None:
        """Add an outline of (16,) `radii` that always faces the camera: foliage, a head."""
        row = self._add(BLOB, np.asarray([centre], np.float32), paint)
        row["radii"] = radii

    def ground(self, x0: float, x1: float, z0: float, z1: float, y: float, paint: Paint) -> None:
        """Add a level rectangle that is seen from above."""
        self.face([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], paint, (x0, y - 1, z0))

    def build(self) -> NDArray[np.void]:
        """The (n,) records of dtype SURFACE added so far."""
        return np.concatenate(self._rows) if self._rows else np.zeros(0, SURFACE)


def placed(model: NDArray[np.void], x: float, z: float, heading: float = 0.0, y: float = 0.0) -> NDArray[np.void]:
    """Return a copy of a model turned about the vertical (0: towards +z, positive: to the right) and moved."""
    out = model.copy()
    c, s = np.cos(heading), np.sin(heading)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
    out["points"] = out["points"] @ turn + np.array([x, y, z], np.float32)
    out["normal"] = out["normal"] @ turn
    out["anchor"] = np.array([x, z], np.float32) + out["anchor"] @ turn[::2, ::2]
    return out
