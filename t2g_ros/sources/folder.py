"""A folder of images as a recording: `DIR/*.png`, or `DIR/images/` with `DIR/labels/` beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11, CITYSCAPES19, IGNORE, LabelSpace, space
from t2g_ros.sources.base import Losses, Source, SourceFrame
from t2g_ros.sources.images import check_label_size, read_ids, read_labelled
from t2g_ros.sources.natural import natural_key
from t2g_ros.types import NS_PER_S, Frame

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
DEFAULT_FPS = 10.0
"""Assumed for a folder that does not say when its images were taken: a usual camera rate in recorded drives."""


class FolderSource(Source):
    """Images in natural order of their names, with the labels of the same stem where there are some.

    Stamps start at 0 and are 1 / fps apart. The rate is `fps`, else the one in the folder's `clip.yaml`, else
    `DEFAULT_FPS`; a `clip.yaml` without a rate says that the stems are the stamps in nanoseconds.

    Raises:
        InputError: the folder is missing, empty, or inconsistent; the message names the file.
    """

    def __init__(self, path: Path, *, fps: float | None = None, label_space: str | None = None) -> None:
        super().__init__()
        if not path.is_dir():
            raise InputError(f"frames {path}: not a folder")
        self.path = path
        self._images = _image_files(path / "images" if (path / "images").is_dir() else path)
        self._labels = _label_files(path / "labels", self._images)
        self.count = len(self._images)
        clip = _read_clip(path / "clip.yaml")
        self._stamps_ns = self._choose_stamps(fps, clip)
        self.label_space = self._choose_space(label_space, clip)

    def _read(self, keep: Callable[[int], bool], losses: Losses) -> Iterator[SourceFrame]:
        for index, (image, stamp_ns) in enumerate(zip(self._images, self._stamps_ns, strict=True)):
            if not keep(index):
                continue
            labels_path = self._labels.get(image.stem)
            read = read_labelled(image, labels_path, partial(_read_labels, label_space=self.label_space), losses)
            if read is not None:
                rgb, labels = read
                yield SourceFrame(Frame(rgb, stamp_ns), image.stem, labels, index)

    def _files(self) -> Iterable[Path]:
        return [*self._images, *self._labels.values()]

    def _choose_stamps(self, fps: float | None, clip: dict[str, Any] | None) -> list[int]:
        where = f"{self.path / 'clip.yaml'}"
        if fps is None and clip is not None and "fps" not in clip:
            return self._stamps_from_stems(where)
        if fps is None and clip is not None:
            fps = clip["fps"]
            if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < float("inf"):
                raise InputError(f"{where}: fps is {fps!r}, expected a number more than 0")
        if fps is None:
            fps = DEFAULT_FPS
            self.assumptions += (f"{self.path}: nothing says the frame rate, assumed {fps:g} Hz; --fps sets it",)
        self.fps = float(fps)
        return [round(i * NS_PER_S / fps) for i in range(len(self._images))]

    def _stamps_from_stems(self, where: str) -> list[int]:
        for image in self._images:
            if not image.stem.isdecimal():
                raise InputError(f"{where}: has no 'fps', so {image.name} should be named by its stamp in nanoseconds")
        stamps = [int(image.stem) for image in self._images]
        if len(set(stamps)) < len(stamps):
            raise InputError(f"{where}: has no 'fps', but two images are named by the same stamp")
        if len(stamps) > 1:
            self.fps = (len(stamps) - 1) * NS_PER_S / (stamps[-1] - stamps[0])
        return stamps

    def _choose_space(self, name: str | None, clip: dict[str, Any] | None) -> LabelSpace | None:
        if name is not None and not self._labels:
            raise InputError(f"{self.path / 'labels'}: holds no label PNG, but label space '{name}' was given")
        if not self._labels:
            return None
        if name is None and clip is not None:
            name = clip.get("labels")
        if name is not None:
            try:
                return space(name)
            except (ValueError, TypeError) as error:
                raise InputError(f"frames {self.path}: {error}") from error
        guess = _guess_space(self._labels.values())
        self.assumptions += (
            f"{self.path}: nothing says what the label ids mean, assumed {guess.name}; --label-space sets it",
        )
        return guess


def _image_files(folder: Path) -> list[Path]:
    found = (f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.is_dir())
    files = sorted(found, key=natural_key)
    if not files:
        raise InputError(f"frames {folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    by_stem: dict[str, Path] = {}
    for file in files:
        other = by_stem.setdefault(file.stem, file)
        if other is not file:
            raise InputError(f"frames {folder}: {other.name} and {file.name} have the same stem; remove one")
    return files


def _label_files(folder: Path, images: list[Path]) -> dict[str, Path]:
    """Return label files by stem; sparsely labelled drives have fewer than images."""
    found = {image.stem: folder / f"{image.stem}.png" for image in images}
    labels = {stem: file for stem, file in found.items() if file.is_file()}
    if folder.is_dir() and not labels:
        raise InputError(f"labels {folder}: no PNG in it has the stem of an image, such as {images[0].stem}.png")
    return labels


def _read_clip(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {type(values).__name__}, expected a mapping with 'fps' and 'labels'")
    return values


def _read_labels(path: Path, size: tuple[int, int], label_space: LabelSpace | None) -> np.ndarray:
    labels = read_ids(path)
    check_label_size(path, labels, size)
    assert label_space is not None
    highest = _highest_id(labels)
    if highest >= len(label_space):
        raise InputError(
            f"labels {path}: id {highest} is not in {label_space.name} (0 to {len(label_space) - 1}, {IGNORE} = void); "
            "is --label-space right?"
        )
    return labels


def _highest_id(labels: np.ndarray) -> int:
    # Void wraps around to 0: several times as fast as to mask it.
    return max(int((labels + np.uint8(1)).max(initial=0)) - 1, 0)


def _guess_space(files: Iterable[Path]) -> LabelSpace:
    """Return CamVid-11 if no id is above its last one, Cityscapes-19 otherwise."""
    guess = CAMVID11
    for file in files:
        highest = _highest_id(read_ids(file))
        if highest >= len(CITYSCAPES19):
            raise InputError(
                f"labels {file}: id {highest} is neither in {CAMVID11.name} nor in {CITYSCAPES19.name}; "
                "say with --label-space what the ids mean"
            )
        if highest >= len(CAMVID11):
            guess = CITYSCAPES19
    return guess
