"""Copy and paste: what a rare class covers in one image is put into another (arXiv 2012.07177)."""

from __future__ import annotations

import cv2
import numpy as np

SCALES = (0.7, 1.6)
"""Range of the size that what is pasted has, relative to where it comes from."""
SHIFT = 0.4
"""Largest shift to either side, in image widths."""


def paste(
    image: np.ndarray,
    labels: np.ndarray,
    donor: np.ndarray,
    donor_labels: np.ndarray,
    wanted: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Put all that one class covers in a donor into an image, mirrored, shifted and scaled at random.

    The scale is about the middle row, where the horizon of a driving camera lies: so what stands on the road still
    does, nearer or farther away.

    Args:
        image: (H, W, 3) uint8; as its labels, it is left as it is.
        labels: (H, W) uint8.
        donor: (h, w, 3) uint8.
        donor_labels: (h, w) uint8.
        wanted: the class.
        rng: draws how.

    Returns:
        Image and labels with it.
    """
    (h, w), (height, width) = donor_labels.shape, labels.shape
    scale = np.exp(rng.uniform(*np.log(SCALES)))
    sx, sy = scale * width / w * rng.choice((-1, 1)), scale * height / h
    middle = width * (0.5 + rng.uniform(-SHIFT, SHIFT))
    matrix = np.array([[sx, 0, middle - sx * w / 2], [0, sy, height / 2 - sy * h / 2]])
    there = cv2.warpAffine((donor_labels == wanted).astype(np.float32), matrix, (width, height))[..., None]
    moved = cv2.warpAffine(donor, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    # Mixed where the edge runs through a pixel: a hard one would give away what was pasted.
    mixed = np.rint(image + there * (moved.astype(np.float32) - image)).astype(np.uint8)
    return mixed, np.where(there[..., 0] > 0.5, np.uint8(wanted), labels)
