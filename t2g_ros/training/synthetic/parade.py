"""A moment in which large vehicles and cycles stand all about the camera, as they rarely do in traffic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import cycles, people, trams, vehicles
from t2g_ros.training.synthetic.camera import Ego
from t2g_ros.training.synthetic.surfaces import placed

Model = NDArray[np.void]
MOST = 4
CLEAR_M = 2.9
"""Half the width of the camera's own lane and of what drives beside it."""
AHEAD_M = 60.0


def _motorcycle(rng: np.random.Generator) -> Model:
    return cycles.drawn_motorcycle(rng, people.Looks.draw(rng) if rng.random() < 0.3 else None)


def _bicycle(rng: np.random.Generator) -> Model:
    who = people.Looks.draw(rng) if rng.random() < 0.7 else None
    return cycles.bicycle(rng.uniform(0.05, 0.8, 3), who, rng.random())


VEHICLES: tuple[Callable[[np.random.Generator], Model], ...] = (
    trams.tram, trams.tram, vehicles.bus, vehicles.bus, vehicles.truck,
)  # fmt: skip
CYCLES: tuple[Callable[[np.random.Generator], Model], ...] = (_motorcycle, _motorcycle, _bicycle, _bicycle)
"""Of both, the more often the rarer they are in street scenes."""


class Parade:
    """What stands about a drive's camera at any time, whenever that is: takes the place of `Traffic`."""

    def __init__(self, rng: np.random.Generator, ego: Ego) -> None:
        self.ego = ego
        self.standing = [_drawn(rng) for _ in range(1 + rng.integers(MOST))]

    def at(self, t_s: float) -> list[Model]:
        """The models, placed in the world."""
        x, z = self.ego.lane_x, self.ego.travelled(t_s)
        return [placed(model, x + dx, z + dz, heading) for model, dx, dz, heading in self.standing]


def _drawn(rng: np.random.Generator) -> tuple[Model, float, float, float]:
    """A model, where it stands relative to the camera, and its heading."""
    if rng.random() < 0.45:  # cycles stand or go in any direction, not far away
        model = CYCLES[rng.integers(len(CYCLES))](rng)
        return model, rng.uniform(-6, 6), np.exp(rng.uniform(np.log(3.5), np.log(25.0))), rng.uniform(0, 2 * np.pi)
    model = VEHICLES[rng.integers(len(VEHICLES))](rng)
    heading = rng.choice((0.0, np.pi)) + rng.normal(0, 0.04)
    if rng.random() < 0.4:  # in front, where it begins behind a gap
        depth = float(np.abs(model["points"][..., 2]).max())
        return model, rng.normal(0, 0.8), depth + np.exp(rng.uniform(np.log(6.0), np.log(AHEAD_M))), heading
    return model, rng.choice((-1, 1)) * rng.uniform(CLEAR_M, 7.0), rng.uniform(0, AHEAD_M), heading
