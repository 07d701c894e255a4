"""Write a stretch of a drive as images with labels: `python -m t2g_ros.training.synthetic.clip OUT_DIR --seed 7`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml
from tqdm import tqdm

from t2g_ros.training.synthetic import STYLES, Drive

JPEG_QUALITY = 90


def write_frame(out: Path, stem: str, rgb: np.ndarray, labels: np.ndarray, suffix: str = ".jpg") -> None:
    """Write `images/<stem><suffix>` and `labels/<stem>.png` into `out`, whose folders are made if need be.

    Args:
        out: the labelled folder.
        stem: of both files.
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8 ids.
        suffix: `.jpg`, or `.png` to lose nothing.

    Raises:
        OSError: a file cannot be written.
    """
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    bgr, quality = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    image, mask = out / "images" / f"{stem}{suffix}", out / "labels" / f"{stem}.png"
    for path, array, flags in ((image, bgr, quality if suffix == ".jpg" else []), (mask, labels, [])):
        if not cv2.imwrite(str(path), array, flags):
            raise OSError(f"{path}: cannot be written; check the folder's rights and the free space")


def write_clip(out: Path, drive: Drive, fps: float, frames: int, start_s: float = 0.0) -> None:
    """Write `images/<stamp>.jpg`, `labels/<stamp>.png` (Cityscapes-19 ids) and `clip.yaml` into `out`.

    A stamp is the time since the first frame in nanoseconds, twelve digits.

    Raises:
        OSError: a file cannot be written.
    """
    for k in tqdm(range(frames), unit="frame", desc=str(out)):
        stamp = f"{round(k * 1e9 / fps):012d}"
        write_frame(out, stamp, *drive.render(start_s + k / fps))
    described = {"fps": fps if fps % 1 else int(fps), "labels": "cityscapes19"}
    (out / "clip.yaml").write_text(yaml.safe_dump(described, sort_keys=False))


def _size(text: str) -> tuple[int, int]:
    """(h, w) of WIDTHxHEIGHT."""
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal() and int(width) >= 16 and int(height) >= 16):
        raise argparse.ArgumentTypeError(f"'{text}': expected WIDTHxHEIGHT in pixels, 16 or more, such as 640x320")
    return int(height), int(width)


def main(argv: Sequence[str] | None = None) -> int:
    """Render as the command line asks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m t2g_ros.training.synthetic.clip", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="folder to write into; made if need be")
    parser.add_argument("--seed", type=int, default=0, help="number of the drive, 0 or more")
    parser.add_argument("--style", choices=STYLES, default="day")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--start", type=float, default=0.0, help="second of the drive to begin at")
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--size", type=_size, default="640x320", help="WIDTHxHEIGHT in pixels")
    args = parser.parse_args(argv)
    drive = Drive(args.seed, args.style, args.size)
    write_clip(args.out, drive, args.fps, round(args.seconds * args.fps), args.start)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
