"""Rendered drives on disk: a labelled folder that trains and is read like a recorded one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from t2g_ros.training.synthetic import Drive
from t2g_ros.training.synthetic.clip import write_frame


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

    Raises:
        OSError: a file cannot be written.
    """
    done = folder / "complete"
    if done.is_file():
        return
    for seed in tqdm(list(seeds), unit="drive", desc=str(folder)):
        drive = Drive(seed, style, size=size)
        for frame in range(round(seconds * fps)):
            write_frame(folder, f"{seed}_{frame:05d}", *drive.render(frame / fps), suffix=".png")
    done.touch()
