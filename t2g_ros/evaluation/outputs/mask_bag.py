"""An offline run as the bag that the live node's outputs would have made, for RViz and Foxglove."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from t2g_ros.drawing import overlay
from t2g_ros.labels import LabelSpace
from t2g_ros.sources.bags.writer import RosBagWriter, StampShift
from t2g_ros.types import Segmentation


class MaskBagWriter:
    """Writes segmentations under the node's topic names and encodings, as an MCAP bag compressed with zstd.

    Every one gives `<camera>/segmentation/mask`, `confidence`, `color` and `overlay`, and `stability` where there is a
    map, under the frame's own stamp and frame_id; `labels` says once what the ids mean. A recording that starts at
    stamp 0 is shifted as `t2g make-bag` shifts it, so that the two bags of one recording line up.

    Args:
        path: folder to make, its parents too.
        camera: the camera's namespace.
        space: the classes of the masks.

    Use as a context manager; the bag is complete when it is left.

    Raises:
        InputError: the bag exists already.
    """

    def __init__(self, path: Path, camera: str = "/camera", *, space: LabelSpace) -> None:
        self._bag = RosBagWriter(path, f"{camera.rstrip('/')}/segmentation", compress=True)
        self._path = path
        self._space = space
        self._shift = StampShift()
        self._begun = False

    def __enter__(self) -> MaskBagWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._bag.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bag.__exit__()

    def add(self, segmentation: Segmentation, stability: np.ndarray | None = None) -> None:
        """Write one frame's outputs.

        Args:
            segmentation: what the segmenter said.
            stability: (h, w) uint8 map of `StabilityMonitor`, on any grid; it is brought to the mask's size.
        """
        frame, labels = segmentation.frame, segmentation.labels
        stamp_ns = self._shift(frame.stamp_ns)
        if not self._begun:
            self._bag.put_labels("labels", stamp_ns, self._space)
            self._begun = True
        pictures = {"mask": labels, "confidence": segmentation.confidence}
        if stability is not None:
            height, width = labels.shape
            pictures["stability"] = cv2.resize(stability, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        pictures["color"] = self._space.colorize(labels)
        pictures["overlay"] = overlay(frame.rgb, labels, self._space)
        for topic, pixels in pictures.items():
            self._bag.put_image(topic, stamp_ns, frame.frame_id, pixels)
