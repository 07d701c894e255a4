"""The pinhole camera of a drive and the motion of the car that carries it, both drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class View:
    """The camera at one instant: pixel = centre + focal * (right, -up) / ahead."""

    position: NDArray[np.float64]
    """(3,) world metres."""
    rotation: NDArray[np.float64]
    """(3, 3), rows: the camera's right, up and ahead in the world."""
    focal_px: float
    size: tuple[int, int]
    """(h, w)."""

    @property
    def horizon_px(self) -> float:
        """Row of the horizon; the camera never rolls."""
        return self.size[0] / 2 + self.focal_px * self.rotation[2, 1] / self.rotation[1, 1]


class Ego:
    """A car that keeps its lane with a varying speed, a wandering heading and a bobbing nose."""

    def __init__(self, rng: np.random.Generator, lane_x: float) -> None:
        self.lane_x = lane_x
        self.speed = rng.uniform(5.0, 13.0)
        self.height = rng.uniform(1.25, 1.9)
        self.fov = np.deg2rad(rng.uniform(52, 78))
        self.pitch = np.deg2rad(rng.uniform(-5.0, 1.5))
        self._phase = rng.uniform(0, 2 * np.pi, 6)
        self._period = rng.uniform(5, 11, 6)

    def _wave(self, k: int, t_s: float) -> float:
        return float(np.sin(2 * np.pi * t_s / self._period[k] + self._phase[k]))

    def travelled(self, t_s: float) -> float:
        """World z at `t_s`, metres; it only ever grows."""
        return self.speed * t_s + 0.25 * self.speed * (self._wave(0, t_s) - self._wave(0, 0.0))

    def view(self, t_s: float, size: tuple[int, int]) -> View:
        """The camera at `t_s` for an image of (h, w)."""
        x = self.lane_x + 0.25 * self._wave(1, t_s)
        yaw = 0.030 * self._wave(2, t_s) + 0.015 * self._wave(3, 2.3 * t_s)
        pitch = self.pitch + 0.0025 * self._wave(4, 7 * t_s) + 0.0015 * self._wave(5, 11 * t_s)
        ahead = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        rotation = np.stack([right, np.cross(ahead, right), ahead])
        bob = 0.012 * self._wave(4, 7 * t_s + 0.4)
        focal = 0.5 * size[1] / np.tan(0.5 * self.fov)
        return View(np.array([x, self.height + bob, self.travelled(t_s)]), rotation, float(focal), size)
