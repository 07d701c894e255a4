"""What moves: streams of vehicles, cyclists and pedestrians, each at a constant speed, and people who cross."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic import cycles, people, trams, vehicles
from t2g_ros.training.synthetic.camera import Ego
from t2g_ros.training.synthetic.street import Street, has_crossing
from t2g_ros.training.synthetic.surfaces import placed

Model = NDArray[np.void]
BEHIND_M, AHEAD_M = 14.0, 130.0
CROSS_M = 40.0
"""Those who cross walk from -CROSS_M to CROSS_M, far enough to come from behind the houses, and start again."""


@dataclass(frozen=True)
class Stream:
    """An endless row of movers in one strip; mover i is at `i * gap_m + jitter + speed * t`."""

    key: int
    x: float
    speed: float
    """Metres per second along z; negative comes towards the camera."""
    gap_m: float
    share: float
    """Of the places that are taken."""
    make: Callable[[np.random.Generator], Callable[[float], Model]]
    """Draws one mover: its model after so many metres."""
    wander_m: float = 0.1


def _still(model: Model) -> Callable[[float], Model]:
    return lambda _: model


def _vehicle(rng: np.random.Generator) -> Callable[[float], Model]:
    kind = rng.random()
    if kind < 0.09:
        return _still(vehicles.truck(rng))
    if kind < 0.17:
        return _still(vehicles.bus(rng))
    if kind < 0.25:
        return _still(cycles.drawn_motorcycle(rng, people.Looks.draw(rng)))
    return _still(vehicles.car(rng))


def _tram(rng: np.random.Generator) -> Callable[[float], Model]:
    return _still(trams.tram(rng))


def _trams(stream: Stream) -> Stream:
    """Trams in place of a lane's vehicles, so far apart that none runs into another."""
    return replace(stream, gap_m=2 * trams.LONGEST_M, share=0.9, make=_tram, wander_m=0.03)


def _walker(rng: np.random.Generator) -> Callable[[float], Model]:
    who, start = int(rng.integers(people.CROWD)), rng.random()
    return lambda metres: people.walking(who, start + metres / people.STEP_M)


def _cyclist(rng: np.random.Generator) -> Callable[[float], Model]:
    who, color = people.Looks.draw(rng), rng.uniform(0.1, 0.7, 3)
    return lambda metres: cycles.bicycle(color, who, metres / 5.0)


class Traffic:
    """All movers of a drive at any time; nothing depends on when it was asked before."""

    def __init__(self, seed: int, street: Street, ego: Ego) -> None:
        self.seed, self.street, self.ego = seed, street, ego
        rng = np.random.default_rng((seed, 20))
        self.streams = _streams(rng, street, ego)
        self._drawn: dict[tuple[int, int], tuple[float, float, Callable[[float], Model]] | None] = {}
        self._leader_gap = float(rng.uniform(9, 30)) if rng.random() < 0.75 else None
        self._leader = _vehicle(rng)(0.0)
        self._phase = float(rng.uniform(0, 6.28))

    def at(self, t_s: float) -> list[Model]:
        """The models of everyone near the camera at `t_s`, placed in the world."""
        camera_z = self.ego.travelled(t_s)
        out = [model for stream in self.streams for model in self._of(stream, t_s, camera_z)]
        out += self._crossing(t_s, camera_z)
        if self._leader_gap is not None:
            gap = self._leader_gap * (1 + 0.25 * np.sin(0.35 * t_s + self._phase)) + 5
            out.append(placed(self._leader, self.ego.lane_x + 0.15 * np.sin(0.4 * t_s), camera_z + gap))
        return out

    def _mover(self, stream: Stream, i: int) -> tuple[float, float, Callable[[float], Model]] | None:
        """(z offset, x offset, model) of mover `i`, or None where the place is empty."""
        key = (stream.key, i)
        if key not in self._drawn:
            rng = np.random.default_rng((self.seed, 21, stream.key, i % 2**32))
            taken = rng.random() < stream.share
            offsets = rng.uniform(-0.25, 0.25) * stream.gap_m, rng.uniform(-1, 1) * stream.wander_m
            self._drawn[key] = (*offsets, stream.make(rng)) if taken else None
        return self._drawn[key]

    def _of(self, stream: Stream, t_s: float, camera_z: float) -> Iterator[Model]:
        moved = stream.speed * t_s
        first = int(np.floor((camera_z - BEHIND_M - moved) / stream.gap_m))
        last = int(np.ceil((camera_z + AHEAD_M - moved) / stream.gap_m))
        for i in range(first, last + 1):
            mover = self._mover(stream, i)
            if mover is not None:
                dz, dx, model = mover
                heading = 0.0 if stream.speed >= 0 else np.pi
                yield placed(model(abs(moved)), stream.x + dx, i * stream.gap_m + dz + moved, heading)

    def _crossing(self, t_s: float, camera_z: float) -> Iterator[Model]:
        block = self.street.block_m
        for index in range(int(camera_z // block), int((camera_z + AHEAD_M) // block) + 1):
            if not has_crossing(self.seed, index):
                continue
            rng = np.random.default_rng((self.seed, 22, index % 2**32))
            for _ in range(rng.poisson(5 * self.street.busy)):
                who, start, pace = int(rng.integers(people.CROWD)), rng.uniform(0, 2 * CROSS_M), rng.uniform(0.9, 1.6)
                way, z = rng.choice([-1, 1]), index * block - rng.uniform(0.9, 3.3)
                walked = pace * t_s
                x = way * ((start + walked) % (2 * CROSS_M) - CROSS_M)
                yield placed(people.walking(who, walked / people.STEP_M), x, z, way * np.pi / 2)


def _streams(rng: np.random.Generator, street: Street, ego: Ego) -> list[Stream]:
    keep, lane, busy = street.drives_on, street.lane_m, street.busy
    streams = []
    for k in range(street.lanes):
        on_rails = street.trams and k == 0
        x = -keep * (k + 0.5) * lane
        oncoming = Stream(k, x, -rng.uniform(6, 13), rng.uniform(16, 30), 0.75 * busy, _vehicle)
        streams.append(_trams(oncoming) if on_rails else oncoming)
        x = keep * (k + 0.5) * lane
        if abs(x - ego.lane_x) > 0.5:
            speed = ego.speed * rng.uniform(0.6, 1.25)
            ours = Stream(10 + k, x, speed, rng.uniform(18, 32), 0.65 * busy, _vehicle)
            streams.append(_trams(ours) if on_rails else ours)
    edge = street.lanes * lane - 0.45
    if street.lane_m > 3.3 and abs(ego.lane_x) + 2.2 < edge + 0.45:
        streams.append(Stream(20, keep * edge, rng.uniform(3, 5), 26.0, 0.6 * busy, _cyclist))
    streams.append(Stream(21, -keep * edge, -rng.uniform(3, 5), 30.0, 0.6 * busy, _cyclist))
    for side in (-1, 1):
        middle = street.walk_x + 0.5 * street.walk_m
        for key, way in ((30, -1), (32, 1)):
            x = side * middle + way * 0.22 * street.walk_m
            pace = way * rng.uniform(0.9, 1.6)
            streams.append(Stream(key + (side > 0), x, pace, rng.uniform(4, 9), 0.7 * busy, _walker, 0.3))
    return streams
