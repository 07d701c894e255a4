"""Messages of one camera into a rosbag2, written with no ROS installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.writer import CompressionFormat, CompressionMode
from rosbags.typesys import Stores, get_typestore

from t2g_ros.errors import InputError
from t2g_ros.labels import LabelSpace
from t2g_ros.sources.bags.salvage_mcap import write_checksums
from t2g_ros.sources.bags.source import RAW_TYPE
from t2g_ros.types import NS_PER_S

BAG_VERSION: Final = 8
"""The newest metadata format that Humble and Jazzy both read."""
STORAGES: Final = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
START_NS = NS_PER_S
"""Where a recording that starts at 0 starts in a bag, since a stamp of 0 means "not set" in ROS."""
STAMP_END_NS = 2**31 * NS_PER_S
"""Seconds are an int32 in ROS, and its clocks have none below 0."""

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


class StampShift:
    """Brings the stamps of a recording that starts at 0 to `START_NS`, and keeps all others exactly.

    The first frame decides: one from a bag or a clock keeps its stamp, and with it all that follow.
    """

    def __init__(self) -> None:
        self._shift_ns: int | None = None

    def __call__(self, stamp_ns: int) -> int:
        """Return the stamp to write."""
        if self._shift_ns is None:
            self._shift_ns = START_NS if stamp_ns == 0 else 0
        return stamp_ns + self._shift_ns


class RosBagWriter:
    """Writes messages to a bag whose topics lie in one namespace.

    Args:
        path: folder to make.
        namespace: absolute, such as `/camera`.
        storage: a key of `STORAGES`.
        compress: compress the file with zstd, which makes masks a hundredth of their size.

    Use as a context manager; the bag is complete when it is left. Every message is recorded at its own stamp.

    Raises:
        InputError: the bag exists already.
    """

    def __init__(self, path: Path, namespace: str, *, storage: str = "mcap", compress: bool = False) -> None:
        if path.exists():
            raise InputError(f"bag {path}: exists already; choose another name or remove it")
        self._namespace = namespace.rstrip("/")
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=STORAGES[storage])
        if compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._checked = None if compress or storage != "mcap" else path
        self._topics: dict[str, Connection] = {}

    def __enter__(self) -> RosBagWriter:
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        if self._checked is not None:  # rosbags leaves them out; zstd files would have to be packed anew
            for file in self._checked.glob("*.mcap"):
                write_checksums(file)

    def message(self, msgtype: str, *args: Any, **fields: Any) -> Any:
        """Return a message of that type, for a field of another."""
        return self._store.types[msgtype](*args, **fields)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """Return a std_msgs/Header; raises `InputError` where ROS cannot hold the stamp."""
        if not 0 <= stamp_ns < STAMP_END_NS:
            raise InputError(
                f"stamp {stamp_ns} ns: expected 0 to {STAMP_END_NS - 1}, which is what ROS can hold; --fps stamps the "
                "frames anew"
            )
        stamp = self.message("builtin_interfaces/msg/Time", *divmod(stamp_ns, NS_PER_S))
        return self.message("std_msgs/msg/Header", stamp, frame_id)

    def put(self, topic: str, msgtype: str, stamp_ns: int, qos: Qos | None = None, **fields: Any) -> None:
        """Write a message on a topic of the namespace, recorded at `stamp_ns`; the first one's `qos` is the topic's."""
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                f"{self._namespace}/{topic}",
                msgtype,
                typestore=self._store,
                offered_qos_profiles=[] if qos is None else [qos],
            )
        data = self._store.serialize_cdr(self.message(msgtype, **fields), msgtype)
        self._writer.write(self._topics[topic], stamp_ns, data)

    def put_image(self, topic: str, stamp_ns: int, frame_id: str, pixels: np.ndarray) -> None:
        """Write (H, W) uint8 as a mono8 image, (H, W, 3) uint8 as an rgb8 one, rows unpadded."""
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).reshape(-1)
        self.put(
            topic,
            RAW_TYPE,
            stamp_ns,
            header=self.header(stamp_ns, frame_id),
            height=height,
            width=width,
            encoding="mono8" if pixels.ndim == 2 else "rgb8",
            is_bigendian=0,
            step=data.size // height,
            data=data,
        )

    def put_labels(self, topic: str, stamp_ns: int, space: LabelSpace) -> None:
        """Write, latched, what class ids mean."""
        self.put(topic, "std_msgs/msg/String", stamp_ns, LATCHED, data=json.dumps(space.to_json()))
