"""Models of buildings: town houses with shops, detached houses, and halls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import textures
from t2g_ros.training.synthetic.surfaces import Builder, Paint

WALLS = (
    (0.78, 0.74, 0.66), (0.72, 0.62, 0.48), (0.6, 0.36, 0.28), (0.5, 0.3, 0.25), (0.66, 0.64, 0.62), (0.82, 0.8, 0.76),
    (0.48, 0.47, 0.46), (0.74, 0.68, 0.5), (0.62, 0.68, 0.7), (0.76, 0.58, 0.5),
)  # fmt: skip
ROOFS = ((0.45, 0.22, 0.16), (0.28, 0.27, 0.27), (0.36, 0.3, 0.27), (0.2, 0.21, 0.24))
PANES = ((0.12, 0.16, 0.2), (0.2, 0.26, 0.32), (0.08, 0.09, 0.1), (0.26, 0.32, 0.38))
FLOOR_M = 3.1


@dataclass(frozen=True)
class Plot:
    """Where a building stands: its front at `x`, from `z0` to `z1`, away from the street on `side` (-1 or 1)."""

    side: int
    x: float
    z0: float
    z1: float
    depth: float


def _shell(b: Builder, plot: Plot, low: float, high: float, front: Paint, end: Paint) -> None:
    """Front and both ends between two heights."""
    x0, x1 = plot.x, plot.x + plot.side * plot.depth
    inside = ((x0 + x1) / 2, low, (plot.z0 + plot.z1) / 2)
    b.face([(x0, low, plot.z0), (x0, low, plot.z1), (x0, high, plot.z1), (x0, high, plot.z0)], front, inside)
    for z in (plot.z0, plot.z1):
        b.face([(x0, low, z), (x1, low, z), (x1, high, z), (x0, high, z)], end, inside)


def _gable(b: Builder, plot: Plot, height: float, roof: Paint, gable: Paint) -> float:
    """A ridge roof along the street; returns the height of its ridge."""
    x0, x1 = plot.x - 0.35 * plot.side, plot.x + plot.side * plot.depth
    ridge_x, ridge = (x0 + x1) / 2, height + 0.32 * plot.depth
    inside = (ridge_x, height, (plot.z0 + plot.z1) / 2)
    for z in (plot.z0, plot.z1):
        b.face([(x0, height, z), (x1, height, z), (ridge_x, ridge, z)], gable, inside)
    eave = [(x0, height - 0.1, plot.z0 - 0.2), (x0, height - 0.1, plot.z1 + 0.2)]
    b.face([*eave, (ridge_x, ridge, plot.z1 + 0.2), (ridge_x, ridge, plot.z0 - 0.2)], roof, inside)
    return ridge


def _door(b: Builder, plot: Plot, z: float, color: NDArray[np.floating]) -> None:
    x = plot.x - 0.03 * plot.side
    inside = (plot.x + plot.side, 1.0, z)
    for w, h, paint in (
        (0.65, 2.4, Paint("building", (0.8, 0.79, 0.76))),
        (0.5, 2.25, Paint("building", color, color * 0.6, textures.PLANKS, (1.2, 2))),
    ):
        b.face([(x, 0, z - w), (x, 0, z + w), (x, h, z + w), (x, h, z - w)], paint, inside)
        x -= 0.01 * plot.side


def town_house(rng: np.random.Generator, plot: Plot, floors: int) -> tuple[NDArray[np.void], float]:
    """A house in a row, three in five with a shop; returns it with its height."""
    b = Builder()
    b.anchor = (plot.x + 0.5 * plot.side * plot.depth, (plot.z0 + plot.z1) / 2)
    width = plot.z1 - plot.z0
    color = np.clip(np.array(WALLS[rng.integers(len(WALLS))]) * rng.uniform(0.75, 1.15) * rng.uniform(0.93, 1.07, 3), 0, 0.95)
    pane = PANES[rng.integers(len(PANES))]
    tile = textures.FACADES[rng.integers(len(textures.FACADES))]
    bays = max(2, round(width / rng.uniform(2.4, 3.6)))
    scale = (4 * width / bays, 4 * FLOOR_M)
    upper = Paint("building", color, pane, tile, scale)
    end = Paint("building", color * 0.92, color * 0.6, textures.BRICK if tile % 2 else textures.PLASTER, (3, 3))
    foot = 3.4 if rng.random() < 0.6 else 0.0
    height = foot + floors * FLOOR_M
    if foot:
        front = rng.uniform(0.1, 0.7, 3) if rng.random() < 0.6 else color * 0.7
        units = max(1, round(width / 6))
        _shell(b, plot, 0, foot, Paint("building", front, pane, textures.SHOP, (width / units, foot)), end)
        if rng.random() < 0.35:
            x0, x1 = plot.x, plot.x - plot.side * rng.uniform(0.8, 1.3)
            z0, z1 = plot.z0 + 0.1 * width, plot.z1 - 0.1 * width
            stripes = rng.uniform(0.2, 0.9, 3)
            awning = Paint("building", stripes, (0.85, 0.85, 0.82), textures.PLANKS, (5, 5))
            b.face([(x0, 3.0, z0), (x0, 3.0, z1), (x1, 2.45, z1), (x1, 2.45, z0)], awning)
            b.face([(x1, 2.45, z0), (x1, 2.45, z1), (x1, 2.2, z1), (x1, 2.2, z0)], awning)
    _shell(b, plot, foot, height, upper, end)
    if not foot:
        _door(b, plot, plot.z0 + width * rng.uniform(0.2, 0.8), rng.uniform(0.08, 0.5, 3))
    trim = Paint("building", np.clip(color * 1.12, 0, 0.95))
    x_out, x_in = sorted((plot.x - 0.3 * plot.side, plot.x + 0.2 * plot.side))
    b.box((x_out, height - 0.35, plot.z0), (x_in, height, plot.z1), trim)
    if rng.random() < 0.55:
        roof = Paint("building", ROOFS[rng.integers(len(ROOFS))], (0.12, 0.1, 0.1), textures.PLANKS, (4, 1.2))
        height = _gable(b, plot, height, roof, end)
        ridge_x, z = plot.x + 0.5 * plot.side * plot.depth, plot.z0 + width * rng.uniform(0.1, 0.9)
        b.box((ridge_x - 0.4, height - 1, z - 0.5), (ridge_x + 0.4, height + 1.0, z + 0.5), end.tinted(0.8))
    return b.build(), height


def house(rng: np.random.Generator, plot: Plot) -> tuple[NDArray[np.void], float]:
    """A detached house with one or two floors, returned with its height."""
    b = Builder()
    b.anchor = (plot.x + 0.5 * plot.side * plot.depth, (plot.z0 + plot.z1) / 2)
    width = plot.z1 - plot.z0
    color = np.clip(np.array(WALLS[rng.integers(len(WALLS))]) * rng.uniform(0.9, 1.15), 0, 0.95)
    tile = textures.FACADES[rng.integers(len(textures.FACADES))]
    bays = max(2, round(width / 3.5))
    front = Paint("building", color, PANES[rng.integers(len(PANES))], tile, (4 * width / bays, 4 * FLOOR_M))
    end = Paint("building", color * 0.95, front.second, tile, (4 * 4.0, 4 * FLOOR_M))
    height = FLOOR_M * int(rng.integers(1, 3))
    _shell(b, plot, 0, height, front, end)
    _door(b, plot, plot.z0 + width * (int(rng.integers(bays)) + 0.5) / bays, rng.uniform(0.08, 0.5, 3))
    roof = Paint("building", ROOFS[rng.integers(len(ROOFS))], (0.12, 0.1, 0.1), textures.PLANKS, (4, 1.2))
    gable = Paint("building", color, color * 0.6, textures.PLASTER, (4, 4))
    ridge = _gable(b, plot, height, roof, gable)
    return b.build(), ridge


def hall(rng: np.random.Generator, plot: Plot) -> tuple[NDArray[np.void], float]:
    """A shed with a flat roof and few windows, or an office block, returned with its height."""
    b = Builder()
    b.anchor = (plot.x + 0.5 * plot.side * plot.depth, (plot.z0 + plot.z1) / 2)
    color = np.array((0.62, 0.64, 0.66)) * rng.uniform(0.6, 1.25, 3)
    if rng.random() < 0.5:
        height = rng.uniform(5, 8)
        front = Paint("building", color, color * 0.75, textures.PLANKS, (6, 6))
    else:
        height = FLOOR_M * int(rng.integers(3, 7))
        front = Paint("building", color, PANES[rng.integers(len(PANES))], textures.FACADES[6], (14, 4 * FLOOR_M))
    _shell(b, plot, 0, height, front, front)
    return b.build(), height
