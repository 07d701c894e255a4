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


@dataclass(frozen=True)
class _Row:
    kind: int
    points: NDArray[np.float32]
    paint: Paint
    anchor: tuple[float, float]
    layer: float
    radii: ArrayLike = 0.0
    normal: ArrayLike = (0.0, 0.0, 0.0)
    two_sided: bool = True


class Builder:
    """Collects surfaces; inside one object they are painted in the order they were added."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self.anchor = (0.0, 0.0)
        self.layer = 0.0

    def face(self, points: ArrayLike, paint: Paint, inside: ArrayLike | None = None) -> None:
        """Add a flat polygon; its first corner is the texture's origin.

        With a point `inside` the body it belongs to, it is seen from outside only; without, from both sides.
        """
        corners = np.asarray(points, np.float32)
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[:3].tolist()
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        normal = np.array([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx])
        normal /= max(float(np.sqrt(normal @ normal)), 1e-9)
        if inside is not None and normal @ (corners[0] - inside) < 0:
            normal = -normal
        self._rows.append(_Row(FACE, corners, paint, self.anchor, self.layer, normal=normal, two_sided=inside is None))

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
        radii = (radius_a, radius_b, *(0.0,) * (MAX_POINTS - 2))
        self._rows.append(_Row(CAPSULE, np.array([a, b], np.float32), paint, self.anchor, self.layer, radii))

    def blob(self, centre: ArrayLike, radii: ArrayLike, paint: Paint, front: ArrayLike | None = None) -> None:
        """Add an outline that always faces the camera, of one or (16,) `radii`: foliage, a head.

        With a direction `front` it is only seen from there.
        """
        normal = (0.0, 0.0, 0.0) if front is None else front
        points = np.array([centre], np.float32)
        self._rows.append(_Row(BLOB, points, paint, self.anchor, self.layer, radii, normal, front is None))

    def ground(self, x0: float, x1: float, z0: float, z1: float, y: float, paint: Paint) -> None:
        """Add a level rectangle that is seen from above."""
        self.face([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], paint, (x0, y - 1, z0))

    def build(self) -> NDArray[np.void]:
        """The (n,) records of dtype SURFACE added so far."""
        rows = self._rows
        out = np.zeros(len(rows), SURFACE)
        points, radii = out["points"], out["radii"]
        for i, row in enumerate(rows):
            points[i, : len(row.points)] = row.points
            points[i, len(row.points) :] = row.points[-1]
            radii[i] = row.radii
        if rows:
            for name in ("kind", "anchor", "layer", "normal", "two_sided"):
                out[name] = [getattr(row, name) for row in rows]
            for name in ("base", "second", "tile", "scale", "glow"):
                out[name] = [getattr(row.paint, name) for row in rows]
            out["count"] = [len(row.points) for row in rows]
            out["label"] = [CITYSCAPES19.id_of(row.paint.label) for row in rows]
        return out


def joined(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Concatenate models; np.concatenate itself compares the fields of every part, which costs ten times more."""
    raw = [np.ascontiguousarray(part).view(np.uint8).reshape(len(part), SURFACE.itemsize) for part in parts]
    return np.concatenate(raw).view(SURFACE)[:, 0]


def placed(model: NDArray[np.void], x: float, z: float, heading: float = 0.0, y: float = 0.0) -> NDArray[np.void]:
    """Return a copy of a model turned about the vertical (0: towards +z, positive: to the right) and moved."""
    out = model.copy()
    c, s = np.cos(heading), np.sin(heading)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
    out["points"] = out["points"] @ turn + np.array([x, y, z], np.float32)
    out["normal"] = out["normal"] @ turn
    out["anchor"] = np.array([x, z], np.float32) + out["anchor"] @ turn[::2, ::2]
    return out
