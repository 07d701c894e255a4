"""Recorded frames as a rosbag2 camera, written with no ROS installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from t2g_ros.labels import LabelSpace
from t2g_ros.sources.bags.source import COMPRESSED_TYPE
from t2g_ros.sources.bags.truth import LABELS, MASK
from t2g_ros.sources.bags.writer import RosBagWriter, StampShift
from t2g_ros.sources.base import SourceFrame

JPEG_QUALITY = 95


class CameraBagWriter:
    """Writes one camera's topics under `camera`, a namespace such as `/camera`.

    Every frame gives `image_raw` (or `image_raw/compressed`) and `camera_info`, and where it has labels
    `ground_truth/mask` (mono8), all under the frame's stamp (one that starts at 0 is shifted by `StampShift`);
    `ground_truth/labels` says once what the ids mean. `compression` is that of the images, "raw" or "jpeg"; `storage`
    is a key of `writer.STORAGES`.
    The intrinsics are unknown, so the camera_info's K is zero, which is ROS' sign for an uncalibrated camera.

    Raises:
        InputError: the bag exists already.
    """

    def __init__(
        self,
        path: Path,
        *,
        camera: str,
        frame_id: str,
        compression: str,
        label_space: LabelSpace | None,
        storage: str = "mcap",
    ) -> None:
        self._bag = RosBagWriter(path, camera, storage=storage)
        self._frame_id = frame_id
        self._compression = compression
        self._label_space = label_space

    def write(self, frames: Iterable[SourceFrame]) -> int:
        """Write all frames and return how many there were; the bag is complete only when this returns."""
        count = 0
        shift = StampShift()
        with self._bag:
            for item in frames:
                stamp_ns = shift(item.frame.stamp_ns)
                if count == 0 and self._label_space is not None:
                    self._bag.put_labels(LABELS, stamp_ns, self._label_space)
                self._write_frame(item, stamp_ns)
                count += 1
        return count

    def _write_frame(self, item: SourceFrame, stamp_ns: int) -> None:
        bag, rgb = self._bag, item.frame.rgb
        header = bag.header(stamp_ns, self._frame_id)
        if self._compression == "raw":
            bag.put_image("image_raw", stamp_ns, self._frame_id, rgb)
        else:
            bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            format_ = "rgb8; jpeg compressed bgr8"  # what image_transport writes for an rgb8 camera
            bag.put("image_raw/compressed", COMPRESSED_TYPE, stamp_ns, header=header, format=format_, data=data)
        bag.put(
            "camera_info",
            "sensor_msgs/msg/CameraInfo",
            stamp_ns,
            header=header,
            height=rgb.shape[0],
            width=rgb.shape[1],
            distortion_model="",
            d=np.zeros(0),
            k=np.zeros(9),
            r=np.zeros(9),
            p=np.zeros(12),
            binning_x=0,
            binning_y=0,
            roi=bag.message("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False),
        )
        if item.labels is not None:
            bag.put_image(MASK, stamp_ns, self._frame_id, item.labels)
