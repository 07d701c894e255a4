"""Ground truth in a bag: masks of class ids, and what the ids mean."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from t2g_ros.labels import IGNORE, LabelSpace

MASK = "ground_truth/mask"
"""Under the camera's namespace: mono8 images of class ids under the stamps of the camera's images."""
LABELS = "ground_truth/labels"
"""Once: the `LabelSpace.to_json` of the ids, as a String."""


def mask_ids(message: Any, size: tuple[int, int], label_space: LabelSpace) -> np.ndarray:
    """Return the (H, W) uint8 ids of a sensor_msgs Image; raises ValueError where they cannot belong to the frame."""
    height, width = message.height, message.width
    if message.encoding not in ("mono8", "8UC1"):
        raise ValueError(f"found encoding '{message.encoding}', expected mono8")
    if (height, width) != size:
        raise ValueError(f"found a size of {(height, width)}, expected that of the image, {size}")
    if message.step < width or len(message.data) != message.step * height:
        raise ValueError(f"found {len(message.data)} bytes in rows of {message.step}, expected {height} rows")
    ids = np.frombuffer(message.data, np.uint8).reshape(height, message.step)[:, :width]
    highest = int(ids.max(initial=0, where=ids != IGNORE))
    if highest >= len(label_space):
        raise ValueError(
            f"id {highest} is not in {label_space.name} (0 to {len(label_space) - 1}, {IGNORE} = void); "
            "is --label-space right?"
        )
    return np.ascontiguousarray(ids)


def read_space(text: str) -> LabelSpace:
    """Return the space that `LabelSpace.to_json` was written from; raises ValueError where it is something else."""
    try:
        values = json.loads(text)
        classes = sorted(values["classes"], key=lambda item: item["id"])
        if [item["id"] for item in classes] != list(range(len(classes))) or values["ignore"] != IGNORE:
            raise ValueError(f"expected ids from 0 on without gaps, and {IGNORE} to be ignored")
        palette = np.array([item["color"] for item in classes], np.uint8)
        return LabelSpace(str(values["name"]), tuple(str(item["name"]) for item in classes), palette)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"found {text[:40]!r}, expected the JSON of a label space ({error!r})") from error
