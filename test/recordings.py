"""Small recordings that tests make: moving bars, so that every frame differs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from t2g_ros.sources import open_source
from t2g_ros.sources.bags.camera_writer import CameraBagWriter


def picture(index: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return a (H, W, 3) uint8 RGB ramp with a bar at the frame's own place."""
    height, width = size
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[..., 0] = np.linspace(0, 255, width)
    rgb[..., 1] = np.linspace(0, 255, height)[:, None]
    rgb[..., 2] = 40
    at = 4 * index % width
    rgb[:, at : at + 4] = (250, 10, 10)
    return rgb


def ids(index: int, highest: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return (H, W) uint8 class ids 0 to `highest`, with some void."""
    labels = np.tile(np.arange(size[1], dtype=np.uint8) % (highest + 1), (size[0], 1))
    labels[:, 0] = 255
    labels[0, :] = index % (highest + 1)
    return labels


def make_folder(path: Path, stems: list[str], *, highest_id: int | None = None, nested: bool = True) -> Path:
    """Write one PNG per stem, in the order given, with labels when `highest_id` is not None."""
    images = path / "images" if nested else path
    images.mkdir(parents=True)
    for index, stem in enumerate(stems):
        cv2.imwrite(str(images / f"{stem}.png"), cv2.cvtColor(picture(index), cv2.COLOR_RGB2BGR))
        if highest_id is not None:
            (path / "labels").mkdir(exist_ok=True)
            cv2.imwrite(str(path / "labels" / f"{stem}.png"), ids(index, highest_id))
    return path


def make_video(path: Path, stamps_ms: list[int]) -> Path:
    """Write one lossless frame per presentation time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(1000, 1))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, stamp_ms in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = stamp_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_bag(
    path: Path, *, frames: int = 4, compression: str = "raw", storage: str = "mcap", camera: str = "/camera"
) -> Path:
    """Write `picture(i)` with `ids(i, 10)` of camvid11, 0.1 s apart, as `t2g make-bag` does."""
    folder = make_folder(path.with_name(f"{path.name}_frames"), [str(i) for i in range(frames)], highest_id=10)
    source = open_source(frames=folder, fps=10)
    writer = CameraBagWriter(
        path,
        camera=camera,
        frame_id="cam",
        compression=compression,
        label_space=source.label_space,
        storage=storage,
    )
    assert writer.write(source) == frames
    return path
