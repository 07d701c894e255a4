"""Rendered drives on disk: a labelled folder that trains and is read like a recorded one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
from tqdm import tqdm

from t2g_ros.training.synthetic import Drive


def write_drives(
    folder: Path, style: str, seeds: Iterable[int], fps: float, seconds: float, size: tuple[int, int]
) -> None:
    """Write drives as `images/` and `labels/` of SEED_FRAME.png, where they do not lie there already.

    Args:
        folder: to write into.
        style: domain of the drives.
        seeds: one drive each.
        fps: frames per second; frame numbers count at this rate.
        seconds: length of each drive.
        size: (height, width).
    """
    done = folder / "complete"
    if done.is_file():
        return
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for seed in tqdm(list(seeds), unit="drive", desc=str(folder)):
        drive = Drive(seed, style, size=size)
        for frame in range(round(seconds * fps)):
            rgb, labels = drive.render(frame / fps)
            stem = f"{seed}_{frame:05d}.png"
            cv2.imwrite(str(folder / "images" / stem), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            cv2.imwrite(str(folder / "labels" / stem), labels)
    done.touch()
