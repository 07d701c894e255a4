"""Copy and paste: what a rare class covers in one image is put into another (arXiv 2012.07177)."""

from __future__ import annotations

import cv2
import numpy as np

from t2g_ros.labels import LabelSpace
from t2g_ros.training.rare_classes import RareClassSampler

SCALES = (0.7, 1.6)
"""Range of the size that what is pasted has, relative to where it comes from."""
SHIFT = 0.4
"""Largest shift to either side, in image widths."""
RIDDEN = ("rider", "motorcycle", "bicycle")
"""Pasted together: what makes a person a rider is what there is below."""


class Donors:
    """Images out of which rare classes are cut.

    Args:
        labels: label space of the images.
        rare: draws an image and the class to cut out of it.
    """

    def __init__(self, labels: LabelSpace, rare: RareClassSampler) -> None:
        self.rare = rare
        ridden = [labels.id_of(name) for name in RIDDEN if name in labels.names]
        self.together = {wanted: ridden if wanted in ridden else [wanted] for wanted in range(len(labels))}

    def paste(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Put a rare class of another image into one.

        Args:
            image: (H, W, 3) uint8; as its labels, it is left as it is.
            labels: (H, W) uint8.
            rng: draws what and how.

        Returns:
            Image and labels with it, and the class.
        """
        drive, index, wanted = self.rare.draw(rng)
        donor, ids = drive.load(index)
        cut = np.isin(ids, self.together[wanted])
        return *paste(image, labels, donor, ids, cut, rng), wanted


def paste(
    image: np.ndarray,
    labels: np.ndarray,
    donor: np.ndarray,
    donor_labels: np.ndarray,
    cut: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Put what is cut out of a donor into an image, mirrored, shifted and scaled at random.

    The scale is about the middle row, where the horizon of a driving camera lies: so what stands on the road still
    does, nearer or farther away.

    Args:
        image: (H, W, 3) uint8; as its labels, it is left as it is.
        labels: (H, W) uint8.
        donor: (h, w, 3) uint8.
        donor_labels: (h, w) uint8.
        cut: (h, w) bool, what of the donor is pasted.
        rng: draws how.

    Returns:
        Image and labels with it.
    """
    (h, w), (height, width) = cut.shape, labels.shape
    scale = np.exp(rng.uniform(*np.log(SCALES)))
    sx, sy = scale * width / w * rng.choice((-1, 1)), scale * height / h
    middle = width * (0.5 + rng.uniform(-SHIFT, SHIFT))
    matrix = np.array([[sx, 0, middle - sx * w / 2], [0, sy, height / 2 - sy * h / 2]])
    share = cv2.warpAffine(cut.astype(np.float32), matrix, (width, height))[..., None]
    moved = cv2.warpAffine(donor, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    there, ids = (
        cv2.warpAffine(of, matrix, (width, height), flags=cv2.INTER_NEAREST)
        for of in (cut.astype(np.uint8), donor_labels)
    )
    # Mixed where the edge runs through a pixel: a hard one would give away what was pasted.
    mixed = np.rint(image + share * (moved.astype(np.float32) - image)).astype(np.uint8)
    return mixed, np.where(there == 1, ids, labels)
