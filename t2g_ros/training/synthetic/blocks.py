"""What stands still: the blocks of a street with their ground, houses, gardens and furniture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import buildings, cycles, furniture, ground, plants, vehicles
from t2g_ros.training.synthetic.street import Street, has_crossing
from t2g_ros.training.synthetic.surfaces import SURFACE, Builder, joined, placed

ZONES = ("town", "houses", "park", "wall", "yards")


@dataclass(frozen=True)
class Block:
    """One block of the street, from its crossing to the next."""

    surfaces: NDArray[np.void]
    skyline: NDArray[np.floating]
    """(2, ceil(block_m)): height of the left and the right house front, per metre of z."""


def build_block(seed: int, street: Street, index: int) -> Block:
    """Everything that stands in block `index`; the same numbers give the same block."""
    rng = np.random.default_rng((seed, 12, index % 2**32))
    z0, z1 = index * street.block_m, (index + 1) * street.block_m
    crossing, next_crossing = has_crossing(seed, index), has_crossing(seed, index + 1)
    start = z0 + (street.crossing_m if crossing else 0.0)
    parts = [ground.build(rng, street, z0, start, z1, next_crossing)]
    skyline = np.zeros((2, int(np.ceil(street.block_m))))
    margin0, margin1 = (2.2 if crossing else 0.0), (2.2 if next_crossing else 0.0)
    for side in (-1, 1):
        parts += _frontage(rng, street, side, start + margin0, z1 - margin1, z0, skyline[(side + 1) // 2])
        parts += _kerbside(rng, street, side, start, z1)
        if crossing:
            parts += _corner(rng, street, side, start, z0)
    return Block(joined(parts), skyline)


def _frontage(
    rng: np.random.Generator, street: Street, side: int, z0: float, z1: float, origin: float, skyline: NDArray
) -> list[NDArray[np.void]]:
    """Houses, yards, walls and fences on one side."""
    zone = ZONES[rng.choice(len(ZONES), p=street.zone_shares)]
    out: list[NDArray[np.void]] = []
    z = z0
    while z1 - z > 4.0:
        width = min(float(rng.uniform(6, 16)), z1 - z)
        width = z1 - z if z1 - z - width < 4 else width
        if zone == "town":
            plot = buildings.Plot(side, side * (street.border_x + 0.8), z, z + width, 13.0)
            floors = max(1, street.floors + int(rng.integers(-1, 2)))
            model, height = buildings.town_house(rng, plot, floors)
        elif zone == "houses" and width > 5:
            plot = buildings.Plot(side, side * street.front_x, z + 0.8, z + width - 0.8, 9.0)
            model, height = buildings.house(rng, plot)
        elif zone in ("wall", "yards") and rng.random() < 0.6:
            plot = buildings.Plot(side, side * street.front_x, z + 0.5, z + width - 0.5, 12.0)
            model, height = buildings.hall(rng, plot)
        else:
            model, height = np.zeros(0, SURFACE), 0.0
        out.append(model)
        if height:
            skyline[max(0, int(plot.z0 - origin)) : int(plot.z1 - origin) + 1] = height
        if zone != "town":
            out.append(_border(rng, street, side, zone, z, z + width))
            out += _garden(rng, street, side, zone, z, z + width)
        z += width
    return out


def _border(rng: np.random.Generator, street: Street, side: int, zone: str, z0: float, z1: float) -> NDArray[np.void]:
    """The wall, fence or hedge between sidewalk and yard, in one metre of width."""
    b = Builder()
    x = side * (street.border_x + 0.4)
    b.anchor = (x, (z0 + z1) / 2)
    kinds = {"houses": (0.25, 0.35, 0.25), "park": (0.1, 0.35, 0.2), "wall": (0.9, 0.1, 0.0), "yards": (0.1, 0.8, 0.1)}
    kind = np.searchsorted(np.cumsum(kinds[zone]), rng.random())
    end = z1 if zone in ("wall", "yards") else z1 - 1.5
    if kind == 0:
        furniture.wall(b, rng, x, z0, end)
    elif kind == 1:
        furniture.fence(b, rng, x, z0, end)
    elif kind == 2:
        plants.hedge(b, rng, x, z0, end, street.leaf)
    return b.build()


def _garden(
    rng: np.random.Generator, street: Street, side: int, zone: str, z0: float, z1: float
) -> list[NDArray[np.void]]:
    """Trees and bushes behind the border; more of them, and in depth, in a park."""
    out = []
    for _ in range(rng.poisson(street.greenery * (5 if zone == "park" else 1.4))):
        deep = 16 if zone == "park" else street.yard_m - 1
        x, z = side * (street.border_x + 1.2 + rng.uniform(0, deep)), rng.uniform(z0, z1)
        color = street.leaf * rng.uniform(0.75, 1.2) * rng.uniform(0.9, 1.1, 3)
        kind = (plants.tree, plants.bush, plants.conifer)[rng.choice(3, p=(0.5, 0.35, 0.15))]
        out.append(placed(kind(rng, color), x, z))
    return out


def _kerbside(rng: np.random.Generator, street: Street, side: int, z0: float, z1: float) -> list[NDArray[np.void]]:
    """Lamps, street trees, signs, poles and parked vehicles along the kerb."""
    out = []
    x = side * (street.kerb_x + 0.45)
    first = np.ceil((z0 + 1) / street.lamp_gap_m) * street.lamp_gap_m
    for z in np.arange(first, z1 - 1, street.lamp_gap_m):
        out.append(placed(furniture.lamp_post(-side), x, z))
    tree_gap = rng.uniform(7, 14)
    if rng.random() < street.greenery:
        for z in np.arange(z0 + 4, z1 - 4, tree_gap):
            if rng.random() < 0.8:
                at = side * (street.kerb_x + 0.5 * street.verge_m)
                color = street.leaf * rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, 3)
                out.append(placed(plants.tree(rng, color), at, z + rng.uniform(-1, 1)))
    for _ in range(rng.poisson(1.8)):
        kind = rng.random()
        post = furniture.bollard() if kind > 0.8 else furniture.utility_pole(rng)
        model = furniture.sign(rng) if kind < 0.6 else post
        out.append(placed(model, x + 0.1 * side, rng.uniform(z0 + 2, z1 - 2)))
    if rng.random() < 0.25:
        out.append(placed(furniture.direction_board(rng), side * (street.walk_x - 0.1), rng.uniform(z0 + 10, z1 - 10)))
    if street.parking_m:
        z = z0 + 7.0
        while z < z1 - 7:
            if rng.random() < street.parked:
                kind = rng.random()
                if kind < 0.07:
                    model = cycles.drawn_motorcycle(rng, None)
                else:
                    model = vehicles.truck(rng) if kind < 0.11 else vehicles.car(rng)
                heading = 0.0 if side == street.drives_on else np.pi
                at = side * (street.kerb_x - 0.5 * street.parking_m)
                out.append(placed(model, at, z + rng.uniform(-0.4, 0.4), heading + rng.normal(0, 0.02)))
                z += 3.5 if 0.07 <= kind < 0.11 else 0.0
            z += 6.0
    elif rng.random() < 0.5:
        bike = cycles.bicycle(rng.uniform(0.1, 0.7, 3), None, 0.0)
        if rng.random() < 0.4:
            bike = cycles.drawn_motorcycle(rng, None)
        out.append(placed(bike, side * (street.walk_x + 0.3), rng.uniform(z0 + 3, z1 - 3), 0.1))
    return out


def _corner(rng: np.random.Generator, street: Street, side: int, start: float, z0: float) -> list[NDArray[np.void]]:
    """Signals at the crossing, and the houses of the street that crosses."""
    out = []
    lit = int(rng.choice([0, 2, 2]))
    if street.busy > 0.45:
        x = side * (street.kerb_x + 0.5)
        mast = side == street.drives_on
        out.append(placed(furniture.traffic_light(-side, lit, mast), x, start + 0.8 if mast else z0 - 0.8))
    for front, behind in ((start + 2.2, 1), (z0 - 2.2, -1)):
        near, far = sorted((front, front + 9.0 * behind))
        model, _ = buildings.hall(rng, buildings.Plot(side, side * (street.front_x + 15), near, far, 70.0))
        out.append(model)
    return out
