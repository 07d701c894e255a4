"""Copy and paste: what a rare class covers in one image is put into another (arXiv 2012.07177)."""

from __future__ import annotations

import cv2
import numpy as np

from t2g_ros.labels import IGNORE, LabelSpace
from t2g_ros.training.augment import warp
from t2g_ros.training.drives import Drive, labelled_frames
from t2g_ros.training.rare_classes import RareClassSampler

SCALES = (0.45, 1.6)
"""Range of the size that what is pasted has, relative to where it comes from; what is rare is mostly far away, too."""
SHIFT = 0.4
"""Largest shift to either side, in image widths."""
RIDDEN = ("rider", "motorcycle", "bicycle")
"""Pasted together: what makes a person a rider is what there is below."""
UPRIGHT = 1.3
"""How much higher than wide a cyclist is at least; what is not may be parked motorcycles."""
LEAST_HEIGHT = 24
"""Rows of a cyclist whose halves can be told apart."""


class Donors:
    """Images out of which rare classes are cut.

    Args:
        drives: of the images; their labelled frames are taken.
        labels: label space of the drives.
        rare: draws a frame and the class to cut out of it.
        table: (256,) uint8, from the ids of the drives to those of the images that are pasted into.
        top: what the upper halves of what is cut out are there, if only that is certain.
    """

    def __init__(
        self,
        drives: list[Drive],
        labels: LabelSpace,
        rare: RareClassSampler,
        table: np.ndarray,
        top: int | None = None,
    ) -> None:
        self.frames = labelled_frames(drives)
        self.rare = rare
        self.table = table
        self.top = top
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
        position, wanted = self.rare.draw(rng)
        drive, index = self.frames[position]
        donor, ids = drive.load(index)
        if self.top is not None:
            cut, upper = _upright(ids == wanted)
            return *paste(
                image, labels, donor, cut, np.where(upper, np.uint8(self.top), np.uint8(IGNORE)), rng
            ), self.top
        cut = np.isin(ids, self.together[wanted])
        return *paste(image, labels, donor, cut, cv2.LUT(ids, self.table), rng), int(self.table[wanted])


def _upright(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of a (H, W) mask stands upright, connected part by part, and the upper halves of these."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    top, height = stats[:, cv2.CC_STAT_TOP], stats[:, cv2.CC_STAT_HEIGHT]
    stands = (height >= LEAST_HEIGHT) & (height >= UPRIGHT * stats[:, cv2.CC_STAT_WIDTH])
    stands[0] = False  # the background
    rows = np.arange(len(mask))[:, None]
    return stands[parts], stands[parts] & (rows < (top + height // 2)[parts])


def paste(
    image: np.ndarray,
    labels: np.ndarray,
    donor: np.ndarray,
    cut: np.ndarray,
    donor_labels: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Put what is cut out of a donor into an image, mirrored, shifted, scaled and brought to its exposure at random.

    The scale is about the middle row, where the horizon of a driving camera lies: so what stands on the road still
    does, nearer or farther away.

    Args:
        image: (H, W, 3) uint8; as its labels, it is left as it is.
        labels: (H, W) uint8.
        donor: (h, w, 3) uint8.
        cut: (h, w) bool, what of the donor is pasted.
        donor_labels: (h, w) uint8, in the label space of the image.
        rng: draws how.

    Returns:
        Image and labels with it.
    """
    (h, w), (height, width) = cut.shape, labels.shape
    scale = np.exp(rng.uniform(*np.log(SCALES)))
    sy = scale * height / h
    sx = sy * rng.choice((-1, 1))  # whatever the shapes of the two images, pixels of cameras are square
    middle = width * (0.5 + rng.uniform(-SHIFT, SHIFT))
    matrix = np.array([[sx, 0, middle - sx * w / 2], [0, sy, height / 2 - sy * h / 2], [0, 0, 1]])
    share = warp(cut.astype(np.float32), matrix, (width, height), cv2.BORDER_CONSTANT)
    moved = warp(donor, matrix, (width, height)).astype(np.float32)
    # What was seen at dusk would stand there as a silhouette.
    moved = (moved * ((image.mean() + 1) / (donor.mean() + 1)) ** rng.random()).clip(0, 255)
    there, ids = (
        cv2.warpAffine(of.astype(np.uint8), matrix[:2], (width, height), flags=cv2.INTER_NEAREST)
        for of in (cut, donor_labels)
    )
    # Mixed where the edge runs through a pixel: a hard one would give away what was pasted.
    mixed = np.rint(image + share[..., None] * (moved - image)).astype(np.uint8)
    return mixed, np.where(there == 1, ids, labels)
