"""ApolloScape scene parsing: one camera of one record, unevenly spaced in time as the file names say.

Layout (https://apolloscape.auto/scene.html), for each `<road>` such as road01_ins or road02_seg:
`<road>/ColorImage/Record001/Camera 5/<yymmdd>_<HHMMSSmmm>_Camera_5.jpg` and
`<road>/Label/Record001/Camera 5/<yymmdd>_<HHMMSSmmm>_Camera_5_bin.png`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

from t2g_ros.errors import InputError
from t2g_ros.sources.datasets.base import (
    DatasetFrame,
    DatasetSource,
    files_by_name,
    folders,
    id_format,
    matching_files,
    subfolder,
)

_NAME = re.compile(r"(\d{6}_\d{9})_Camera_\d+\.jpg")
_EXAMPLE = "170927_063847913_Camera_5.jpg"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def sequences(root: Path) -> list[DatasetSource]:
    """Return one source per record and camera, named `<road>/<record>/<camera>`.

    Raises:
        InputError: the layout is another one.
    """
    found = []
    for road in folders("apolloscape", root, "road*_ins", "road*_seg"):
        truth = subfolder("apolloscape", road / "Label")
        for record in folders("apolloscape", road / "ColorImage", "Record*"):
            for camera in folders("apolloscape", record, "Camera *"):
                found.append(_camera(root, camera, truth / record.name / camera.name))
    return found


def _camera(root: Path, images: Path, truth: Path) -> DatasetSource:
    label_files = files_by_name(truth)
    frames = [
        DatasetFrame(path, _stamp_ns(path, match[1]), label_files.get(f"{path.stem}_bin.png"))
        for path, match in matching_files("apolloscape", images, _NAME, _EXAMPLE)
    ]
    name = f"{images.parents[2].name}/{images.parent.name}/{images.name}"
    return DatasetSource(root, name, frames, labels=id_format("apolloscape_ids"), labels_at=truth)


def _stamp_ns(path: Path, text: str) -> int:
    """Return nanoseconds since 1970, the clock taken as UTC since the name says no zone."""
    try:
        time = datetime.strptime(text, "%y%m%d_%H%M%S%f").replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise InputError(f"apolloscape: {path} is not named by a time, like {_EXAMPLE}") from error
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000
