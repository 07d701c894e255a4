"""What moves in rendered drives, pasted into real stills.

A few hundred stills show hardly a tram, a bus or a motorcycle, and what a network learns of them from rendered drives
it expects in rendered surroundings alone. Among real ones they become known there, too (mixed images as in DACS,
arXiv 2007.08702, but with true labels on both sides).
"""

from __future__ import annotations

import cv2
import numpy as np

from t2g_ros.labels import CITYSCAPES19, IGNORE
from t2g_ros.training.synthetic import Drive
from t2g_ros.training.synthetic.parade import AHEAD_M, Parade

CLASSES = [CITYSCAPES19.id_of(name) for name in ("rider", "truck", "bus", "train", "motorcycle", "bicycle")]
STYLES = ("day", "day", "dusk", "rain")
DONOR_ROWS = 256
LATEST_S = 20.0
LARGEST = 1.6
"""How much larger than rendered what is pasted gets."""
GAMMA, GAIN, TINT = (-0.4, 0.8), (-0.9, 0.35), 0.12
"""Colours are raised to a power of exp of a GAMMA and multiplied by exp of a GAIN (down to deep shade), each channel by
exp(N(0, TINT)) more."""
REFLECTED = 0.3
"""Largest share of the surroundings in what is pasted, as glass and polish show them; mostly it is far less."""
DETAIL, DETAIL_PX = 1.0, 4.0
"""How much of the surroundings' detail, finer than this, at most lies on what is pasted. Without a camera's noise,
seams and glints a network tells what was rendered by its smoothness, and expects no more of it in photographs."""
LEAST_SHARE = 0.001
"""Of the image, that a class must cover to be what the crop should show."""


class RenderedMovers:
    """Draws what is pasted.

    Args:
        seeds: half-open range of drive seeds.
        table: (256,) uint8, from Cityscapes ids to those of the stills.
    """

    def __init__(self, seeds: tuple[int, int], table: np.ndarray) -> None:
        self.seeds = seeds
        self.table = table

    def paste(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, int | None]:
        """Put the large vehicles and cycles of a parade in a random drive into an image.

        The horizon of the drive comes to lie in the middle, where that of a driving camera is.

        Args:
            image: (H, W, 3) uint8; as its labels, it is left as it is.
            labels: (H, W) uint8.
            rng: draws what and how.

        Returns:
            Image and labels with them, and one of their classes that there is enough of to be looked for, if any.
        """
        height, width = labels.shape
        donor, ids, horizon = self._rendered((DONOR_ROWS, 2 * round(DONOR_ROWS * width / height / 2)), rng)
        scale = np.exp(rng.uniform(0.0, np.log(LARGEST)))
        sx, sy = (scale * of / to for of, to in zip((width, height), ids.shape[::-1], strict=True))
        middle = width * (0.5 + 0.5 * (scale - 1) * rng.uniform(-1, 1))  # the whole width stays covered
        sx *= rng.choice((-1, 1))
        matrix = np.array([[sx, 0, middle - sx * ids.shape[1] / 2], [0, sy, height / 2 - sy * horizon]])
        moved = cv2.warpAffine(ids, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=IGNORE)
        there = np.isin(moved, CLASSES)
        look = cv2.warpAffine(donor, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101) / np.float32(255)
        look = look ** np.exp(rng.uniform(*GAMMA)) * np.exp(rng.uniform(*GAIN) + rng.normal(0, TINT, 3))
        reflected = REFLECTED * rng.random() ** 2
        mirrored = (image[:, ::-1] if rng.random() < 0.5 else image[::-1]).astype(np.float32)
        look = (1 - reflected) * 255 * look + reflected * mirrored
        look += rng.uniform(0, DETAIL) * (mirrored - cv2.GaussianBlur(mirrored, (0, 0), DETAIL_PX))
        # Mixed at the edge, since a hard one would give away what was pasted.
        share = cv2.GaussianBlur(there.astype(np.float32), (3, 3), 0)[..., None]
        mixed = np.rint(image + share * (look.clip(0, 255) - image)).astype(np.uint8)
        of_stills = cv2.LUT(moved, self.table)
        seen = np.bincount(of_stills[there], minlength=256)[:IGNORE]
        wanted = np.flatnonzero(seen > LEAST_SHARE * labels.size)
        return mixed, np.where(there, of_stills, labels), int(rng.choice(wanted)) if len(wanted) else None

    def _rendered(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        """Image and labels of an instant, and the row of its horizon."""
        seed, style = int(rng.integers(*self.seeds)), str(rng.choice(STYLES))
        drive = Drive(seed, style, size, seen_m=AHEAD_M)  # hardly anything farther away hides what is pasted
        drive.traffic = Parade(rng, drive.ego)
        time_s = rng.uniform(0, LATEST_S)
        return *drive.render(time_s), drive.ego.view(time_s, size).horizon_px
