"""Cityscapes sequences: snippets of 30 frames at 17 Hz, one of which, the 20th, has labels.

Layout, of the packages leftImg8bit_sequence and gtFine (https://www.cityscapes-dataset.com):
`leftImg8bit_sequence/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png` and
`gtFine/<split>/<city>/<city>_<sequence>_<frame>_gtFine_labelIds.png`, or `..._labelTrainIds.png`.
"""

from __future__ import annotations

import re
from pathlib import Path

from t2g_ros.sources.datasets.base import (
    DatasetFrame,
    DatasetSource,
    files_by_name,
    folders,
    id_format,
    matching_files,
    stamp_at,
    subfolder,
)

FPS = 17.0
SNIPPET_FRAMES = 30
_NAME = re.compile(r"(.+_\d{6})_(\d{6})_leftImg8bit\.png")
_EXAMPLE = "aachen_000000_000019_leftImg8bit.png"


def sequences(root: Path) -> list[DatasetSource]:
    """Return one source per snippet, named `<split>/<first image's name up to the frame number>`.

    Raises:
        InputError: the layout is another one.
    """
    truth = subfolder("cityscapes", root / "gtFine")
    found = []
    for split in folders("cityscapes", root / "leftImg8bit_sequence", "*"):
        for city in folders("cityscapes", split, "*"):
            found += _city(root, city, truth / split.name / city.name)
    return found


def _city(root: Path, images: Path, truth: Path) -> list[DatasetSource]:
    label_files = files_by_name(truth)
    # The ids as annotated come first: trainIds are made by the user from them.
    kind = "labelIds" if any(name.endswith("_labelIds.png") for name in label_files) else "labelTrainIds"
    label_format = id_format("cityscapes_ids" if kind == "labelIds" else "cityscapes_train_ids")
    sources = []
    for snippet in _snippets(images):
        first = snippet[0][2]
        frames = [
            DatasetFrame(path, stamp_at(number - first, FPS), label_files.get(f"{drive}_{number:06}_gtFine_{kind}.png"))
            for path, drive, number in snippet
        ]
        name = f"{images.parent.name}/{snippet[0][1]}_{first:06}"
        sources.append(DatasetSource(root, name, frames, labels=label_format, labels_at=truth, fps=FPS))
    return sources


def _snippets(images: Path) -> list[list[tuple[Path, str, int]]]:
    """Cut a city's frames (path, drive, number) where the drive changes, a number is missing, or 30 are full.

    In some cities every snippet has a sequence number of its own, in others all share one.
    """
    snippets: list[list[tuple[Path, str, int]]] = []
    for path, match in matching_files("cityscapes", images, _NAME, _EXAMPLE):
        drive, number = match[1], int(match[2])
        last = snippets[-1] if snippets else []
        if last and last[-1][1:] == (drive, number - 1) and len(last) < SNIPPET_FRAMES:
            last.append((path, drive, number))
        else:
            snippets.append([(path, drive, number)])
    return snippets
