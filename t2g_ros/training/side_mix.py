"""Side mix: one side of an image takes the place of another's, a CutMix (arXiv 1905.04899) that keeps the horizon.

Few streets teach a network which things come together there: whoever has seen 120 of them tells the street first and
what stands in it from memory. Of two streets in one image neither can be told by the other's half.
"""

from __future__ import annotations

import cv2
import numpy as np

from t2g_ros.training.drives import Drive

SEAM = (0.25, 0.75)
"""Where one image ends and the other begins, in image widths."""


class SideMix:
    """Images whose sides are put into others.

    Args:
        frames: labelled frames, as (drive, index); all are drawn alike.
    """

    def __init__(self, frames: list[tuple[Drive, int]]) -> None:
        self.frames = frames

    def paste(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, None]:
        """Put the left or right side of another image, mirrored or not, where that side of this one is.

        Args:
            image: (H, W, 3) uint8; as its labels, it is left as it is.
            labels: (H, W) uint8.
            rng: draws what and how.

        Returns:
            Image and labels with it, and that a crop need not show it.
        """
        drive, index = self.frames[rng.integers(len(self.frames))]
        other, ids = drive.load(index)
        height, width = labels.shape
        if rng.random() < 0.5:
            other, ids = other[:, ::-1], ids[:, ::-1]
        other = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
        ids = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST)
        seam = round(width * rng.uniform(*SEAM))
        side = slice(seam) if rng.random() < 0.5 else slice(seam, None)
        image, labels = image.copy(), labels.copy()
        image[:, side], labels[:, side] = other[:, side], ids[:, side]
        return image, labels, None
