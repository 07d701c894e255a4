"""The cross-section of a drive's street, and what all of its blocks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Street:
    """The cross-section; x grows to the right, 0 is the middle of the road, and lengths are in metres."""

    drives_on: int
    """1: on the right, -1: on the left."""
    lanes: int
    """In each direction."""
    lane_m: float
    parking_m: float
    verge_m: float
    walk_m: float
    yard_m: float
    block_m: float
    crossing_m: float
    lamp_gap_m: float
    zone_shares: NDArray[np.floating]
    floors: int
    greenery: float
    parked: float
    busy: float
    """Traffic and people, 0 to 1."""
    trams: bool
    """Whether trams run in the lanes at the middle."""
    leaf: NDArray[np.floating]
    marking: NDArray[np.floating]
    asphalt: NDArray[np.floating]
    paving: NDArray[np.floating]
    grass: NDArray[np.floating]

    @classmethod
    def draw(cls, rng: np.random.Generator, trams: bool) -> Street:
        """A street at random, but for whether trams run in it."""
        lanes = int(rng.choice([1, 1, 2]))
        grey = rng.uniform(0.26, 0.5)
        return cls(
            drives_on=int(rng.choice([1, 1, -1])),
            lanes=lanes,
            lane_m=rng.uniform(3.0, 3.7),
            parking_m=float(rng.choice([0.0, 2.2, 2.2])),
            verge_m=float(rng.choice([0.9, 0.9, 2.2])),
            walk_m=rng.uniform(1.6, 3.6),
            yard_m=rng.uniform(3.0, 8.0),
            block_m=rng.uniform(55, 95),
            crossing_m=rng.uniform(7.5, 12.0),
            lamp_gap_m=rng.uniform(22, 34),
            zone_shares=rng.dirichlet([2.0, 1.2, 0.7, 0.6, 0.8]),
            floors=int(rng.integers(2, 6)),
            greenery=rng.uniform(0.15, 1.0),
            parked=rng.uniform(0.1, 0.85),
            busy=rng.uniform(0.35, 1.0),
            trams=trams,
            leaf=np.array([rng.uniform(0.28, 0.44), rng.uniform(0.39, 0.48), rng.uniform(0.16, 0.27)]),
            marking=np.array([0.86, 0.86, 0.84]) if rng.random() < 0.75 else np.array([0.85, 0.68, 0.2]),
            asphalt=grey * rng.uniform(0.985, 1.015, 3),
            paving=rng.uniform(0.42, 0.68) * np.array([1.03, 1.0, rng.uniform(0.85, 1.0)]),
            grass=np.array([rng.uniform(0.3, 0.45), rng.uniform(0.42, 0.52), rng.uniform(0.15, 0.25)]),
        )

    @property
    def kerb_x(self) -> float:
        return self.lanes * self.lane_m + self.parking_m

    @property
    def walk_x(self) -> float:
        """Where the sidewalk begins, beyond the verge."""
        return self.kerb_x + self.verge_m

    @property
    def border_x(self) -> float:
        """Where the sidewalk ends: fences, walls and hedges stand here."""
        return self.walk_x + self.walk_m

    @property
    def front_x(self) -> float:
        """The line of the house fronts behind the yards."""
        return self.border_x + 0.8 + self.yard_m

    @property
    def rails_x(self) -> tuple[float, float]:
        """Middles of the two tracks, where there are trams."""
        return -0.5 * self.lane_m, 0.5 * self.lane_m

    @cached_property
    def strips_x(self) -> NDArray[np.floating]:
        """Borders between the strips that things stand in, ascending (see raster.painting_order)."""
        half = [self.lane_m * k for k in range(1, self.lanes + 1)]
        half += [half[-1] - 0.8]  # cyclists keep to the edge of the outer lane
        half += [self.kerb_x, self.walk_x, self.border_x, self.border_x + 0.8, self.front_x, self.front_x + 14]
        right = np.unique(half)
        return np.concatenate([-right[::-1], [0.0], right])


def has_trams(seed: int) -> bool:
    """Whether trams run in the street of this drive."""
    return bool(np.random.default_rng((seed, 23)).random() < 0.25)


def has_crossing(seed: int, index: int) -> bool:
    """Whether block `index` begins with a crossing street."""
    return bool(np.random.default_rng((seed, 11, index % 2**32)).random() < 0.75)
