"""Recorded frames as a rosbag2 camera, written with no ROS installed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from t2g_ros.errors import InputError
from t2g_ros.labels import LabelSpace
from t2g_ros.sources.bag import COMPRESSED_TYPE, RAW_TYPE
from t2g_ros.sources.bag_truth import LABELS, MASK
from t2g_ros.sources.base import SourceFrame
from t2g_ros.types import NS_PER_S

STORAGES: Final = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
JPEG_QUALITY = 95
BAG_VERSION: Final = 8
"""The newest metadata format that Humble and Jazzy both read."""
START_NS = NS_PER_S
"""Added to the stamps of recordings that start at 0, since a stamp of 0 means "not set" in ROS."""

_FOREVER = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE of rmw/time.h
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)


class CameraBagWriter:
    """Writes one camera's topics under `camera`, a namespace such as `/camera`.

    Every frame gives `image_raw` (or `image_raw/compressed`) and `camera_info`, and where it has labels
    `ground_truth/mask` (mono8), all under the same stamp; `ground_truth/labels` says once what the ids mean.
    `compression` is that of the images, "raw" or "jpeg"; `storage` is a key of `STORAGES`.
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
        if path.exists():
            raise InputError(f"bag {path}: exists already; choose another name or remove it")
        self._camera = camera.rstrip("/")
        self._frame_id = frame_id
        self._compression = compression
        self._label_space = label_space
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._types = self._store.types
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=STORAGES[storage])
        self._topics: dict[str, Connection] = {}

    def write(self, frames: Iterable[SourceFrame]) -> int:
        """Write all frames and return how many there were; the bag is complete only when this returns."""
        count = 0
        with self._writer:
            for item in frames:
                stamp_ns = item.frame.stamp_ns + START_NS
                if count == 0 and self._label_space is not None:
                    text = json.dumps(self._label_space.to_json())
                    self._put(LABELS, "std_msgs/msg/String", stamp_ns, LATCHED, data=text)
                self._write_frame(item, stamp_ns)
                count += 1
        return count

    def _write_frame(self, item: SourceFrame, stamp_ns: int) -> None:
        rgb = item.frame.rgb
        header = self._header(stamp_ns)
        if self._compression == "raw":
            self._put_image("image_raw", header, stamp_ns, "rgb8", rgb)
        else:
            bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            format_ = "rgb8; jpeg compressed bgr8"  # what image_transport writes for an rgb8 camera
            self._put("image_raw/compressed", COMPRESSED_TYPE, stamp_ns, header=header, format=format_, data=data)
        self._put(
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
            roi=self._types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        )
        if item.labels is not None:
            self._put_image(MASK, header, stamp_ns, "mono8", item.labels)

    def _header(self, stamp_ns: int) -> Any:
        stamp = self._types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, NS_PER_S))
        return self._types["std_msgs/msg/Header"](stamp, self._frame_id)

    def _put_image(self, topic: str, header: Any, stamp_ns: int, encoding: str, pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).reshape(-1)
        self._put(
            topic,
            RAW_TYPE,
            stamp_ns,
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=data.size // height,
            data=data,
        )

    def _put(self, topic: str, msgtype: str, stamp_ns: int, qos: Qos | None = None, **fields: Any) -> None:
        if topic not in self._topics:
            name = f"{self._camera}/{topic}"
            profiles = [] if qos is None else [qos]
            self._topics[topic] = self._writer.add_connection(
                name, msgtype, typestore=self._store, offered_qos_profiles=profiles
            )
        message = self._types[msgtype](**fields)
        self._writer.write(self._topics[topic], stamp_ns, self._store.serialize_cdr(message, msgtype))
