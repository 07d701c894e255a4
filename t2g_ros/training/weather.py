"""Bad weather as augmentation: haze, falling specks, blotches on the lens.

Deliberately not the formulas of `evaluation/corruptions`: those test what this has taught.
"""

from __future__ import annotations

import cv2
import numpy as np

KINDS = ("haze", "specks", "blotches")


class Weather:
    """One kind of weather over a clip, with a strength drawn once; only specks differ from frame to frame.

    Args:
        rng: draws kind, strength and pattern.
        size: (height, width) of the frames.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.size = size
        self.kind = KINDS[rng.integers(len(KINDS))]
        self.alpha: np.ndarray
        """(h, w) opacity."""
        self.light: np.ndarray = rng.uniform(120, 255) * np.exp(rng.normal(0, 0.04, 3))
        """(3,) colour."""
        strength = rng.uniform(0.15, 0.75)
        if self.kind == "haze":
            # Thicker where it is further away, which is higher in the image down to the horizon.
            rows = np.clip(1.2 - np.linspace(0, 1, size[0]) * rng.uniform(0, 1.2), 0, 1)[:, None]
            self.alpha = strength * rows * (0.7 + 0.3 * _cloud(rng, size, rng.uniform(20, 120)))
        elif self.kind == "blotches":
            cloud = _cloud(rng, size, rng.uniform(4, 24))
            edge = rng.uniform(0.02, 0.2)
            threshold = np.quantile(cloud, 1 - 0.6 * strength)
            self.alpha = rng.uniform(0.4, 0.95) * np.clip((cloud - threshold) / edge, 0, 1)
            self.light = self.light * rng.uniform(0.2, 1.0)  # mud is dark, ice is light
        else:
            self.alpha = np.full(size, 0.4 * strength, np.float32)
            self.share = 0.06 * strength
            self.radius = rng.uniform(0.7, 2.5)
            angle, length = rng.uniform(0, np.pi), int(rng.integers(1, 12))
            self.streak = _line(length, angle)
            self.whiteness = rng.uniform(0.5, 1.0)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the (h, w, 3) uint8 image with the weather in front of it."""
        alpha = self.alpha
        if self.kind == "specks":
            small = (max(self.size[0] // 2, 1), max(self.size[1] // 2, 1))
            points = (rng.random(small, dtype=np.float32) < self.share / self.radius**2).astype(np.float32)
            points = np.asarray(cv2.resize(points, self.size[::-1], interpolation=cv2.INTER_LINEAR))
            specks = np.asarray(cv2.filter2D(cv2.GaussianBlur(points, (0, 0), self.radius), -1, self.streak))
            peak = max(float(specks.max()), 1e-6)
            alpha = np.clip(self.alpha + self.whiteness * np.clip(3 * specks / peak, 0, 1), 0, 1)
        alpha = alpha[..., None].astype(np.float32)
        return (image * (1 - alpha) + alpha * self.light.astype(np.float32)).clip(0, 255).astype(np.uint8)


def _cloud(rng: np.random.Generator, size: tuple[int, int], scale: float) -> np.ndarray:
    """Smooth noise in 0..1 whose blobs are about `scale` pixels large, with finer ones in it."""
    total = np.zeros(size, np.float32)
    for octave, weight in enumerate((1.0, 0.5, 0.25)):
        shape = tuple(max(int(side / scale * 2**octave), 2) for side in size)
        total += weight * cv2.resize(rng.random(shape, dtype=np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _line(length: int, angle: float) -> np.ndarray:
    """A motion blur kernel: a line of `length` pixels that sums to 1."""
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    for step in np.linspace(-length / 2, length / 2, 2 * length + 1):
        kernel[round(length + step * np.sin(angle)), round(length + step * np.cos(angle))] = 1
    return kernel / kernel.sum()
