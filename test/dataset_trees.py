"""Small trees in exactly the layouts that the data sets are published in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from recordings import picture

from t2g_ros.labels import CAMVID32

SHAPE = (48, 64)
DRIVE = "2013_05_28_drive_0000_sync"
CAMERA = f"{DRIVE}/image_00"


def write_image(path: Path, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture(index), cv2.COLOR_RGB2BGR))


def write_ids(path: Path, *values: int) -> None:
    """Write labels whose left columns hold the values, one each, and the rest the first one."""
    labels = np.full(SHAPE, values[0], np.uint8)
    labels[:, : len(values)] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), labels)


def cityscapes(root: Path) -> Path:
    """Two snippets that follow each other without a gap, and one of another drive."""
    for drive, numbers in {"frankfurt_000000": range(100, 160), "frankfurt_000001": range(7, 37)}.items():
        for number in numbers:
            image = f"leftImg8bit_sequence/val/frankfurt/{drive}_{number:06}_leftImg8bit.png"
            write_image(root / image, number % 16)
    for stem in ("frankfurt_000000_000119", "frankfurt_000000_000149", "frankfurt_000001_000026"):
        write_ids(root / f"gtFine/val/frankfurt/{stem}_gtFine_labelIds.png", 7, 3, 33, 22, 0, 29, 255)
        write_ids(root / f"gtFine/val/frankfurt/{stem}_gtFine_instanceIds.png", 1)
        write_image(root / f"gtFine/val/frankfurt/{stem}_gtFine_color.png", 0)
    return root


def kitti360(root: Path) -> Path:
    """A drive whose frames 1, 2, 3 and 5 exist, two of them labelled, and one of the test drives, without labels."""
    for index, number in enumerate((1, 2, 3, 5)):
        write_image(root / f"data_2d_raw/{CAMERA}/data_rect/{number:010}.png", index)
    for number in (2, 5):
        semantics = root / "data_2d_semantics/train" / CAMERA
        write_ids(semantics / f"semantic/{number:010}.png", 7, 34, 35, 37, 44, 28)
        write_ids(semantics / f"confidence/{number:010}.png", 9)
    write_image(root / "data_2d_raw/2013_05_28_drive_0008_sync/image_00/data_rect/0000000000.png", 0)
    return root


def apolloscape(root: Path) -> Path:
    """One camera each on a road with instances and on one without; the third frame has no labels."""
    stems = ("170927_063847913", "170927_063848413", "170927_063850913")
    for road, camera in (("road02_ins", 5), ("road03_seg", 6)):
        for index, stem in enumerate(stems):
            folder = f"Record001/Camera {camera}"
            write_image(root / f"{road}/ColorImage/{folder}/{stem}_Camera_{camera}.jpg", index)
            if index < 2:
                label = root / f"{road}/Label/{folder}/{stem}_Camera_{camera}_bin.png"
                write_ids(label, 49, 17, 36, 164, 39, 167, 35, 255)
                write_image(Path(str(label).replace("_bin.png", ".png")), 0)
    return root


def camvid11(root: Path) -> Path:
    names = {"train": ("0001TP_006690", "0001TP_006720", "Seq05VD_f00030"), "val": ("0016E5_07959", "0016E5_07961")}
    for split, stems in names.items():
        for index, stem in enumerate(stems):
            write_image(root / split / f"{stem}.png", index)
            write_ids(root / f"{split}annot" / f"{stem}.png", 0, 10, 11)
    return root


def camvid32(root: Path) -> Path:
    for index, stem in enumerate(("0016E5_07959", "0016E5_07961", "Seq05VD_f00000")):
        write_image(root / "701_StillsRaw_full" / f"{stem}.png", index)
        colors = np.resize(CAMVID32.palette, (SHAPE[0], 32, 3))
        path = root / "LabeledApproved_full" / f"{stem}_L.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(np.hstack([colors, colors]), cv2.COLOR_RGB2BGR))
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "cityscapes": cityscapes,
    "kitti360": kitti360,
    "apolloscape": apolloscape,
    "camvid11": camvid11,
    "camvid32": camvid32,
}
