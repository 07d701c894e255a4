"""One image topic of a rosbag as a recording, read with no ROS installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from t2g_ros.errors import InputError
from t2g_ros.sources.base import Source, SourceFrame
from t2g_ros.sources.image_messages import IMAGE_TYPES, decode_message
from t2g_ros.types import NS_PER_S, Frame


class BagSource(Source):
    """The images of one topic, raw or compressed, in recorded order and under their header stamps.

    Reads rosbag2 (sqlite3 and MCAP, a folder or a single file) and ROS 1 bags.

    Raises:
        InputError: the bag cannot be read, or the topic is missing or holds no images; the message lists the bag's
            image topics.
    """

    def __init__(self, path: Path, topic: str | None, *, fps: float | None = None) -> None:
        self.path = path
        self._fps = fps
        with self._open() as reader:
            connections = self._image_connections(reader, topic)
            self.topic = connections[0].topic
            self.count = sum(connection.msgcount for connection in connections)
            duration_s = (reader.end_time - reader.start_time) / NS_PER_S
            self.fps = fps or (self.count / duration_s if duration_s > 0 else None)

    def __iter__(self) -> Iterator[SourceFrame]:
        with self._open() as reader:
            connections = [c for c in reader.connections if c.topic == self.topic]
            for index, (connection, recorded_ns, data) in enumerate(reader.messages(connections)):
                where = f"bag {self.path}, topic {self.topic}, message {index} recorded at {recorded_ns} ns"
                message = reader.deserialize(data, connection.msgtype)
                header = message.header  # type: ignore[attr-defined]
                header_ns = header.stamp.sec * NS_PER_S + header.stamp.nanosec
                try:
                    rgb = decode_message(message)
                except InputError as error:
                    raise InputError(f"{where}: {error}") from error
                stamp_ns = header_ns if self._fps is None else round(index * NS_PER_S / self._fps)
                yield SourceFrame(Frame(rgb, stamp_ns, header.frame_id), str(header_ns))

    def _files(self) -> Iterable[Path]:
        return sorted(f for f in self.path.iterdir() if f.is_file()) if self.path.is_dir() else [self.path]

    @contextmanager
    def _open(self) -> Iterator[AnyReader]:
        """Open the bag; whatever rosbags raises while it is open becomes an `InputError` that names it."""
        if not self.path.exists():
            raise InputError(f"bag {self.path}: no such file or folder")
        try:
            with AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
                yield reader
        except (InputError, GeneratorExit):
            raise
        except Exception as error:  # rosbags lets its storages' own errors through: sqlite3, struct, YAML
            raise InputError(f"bag {self.path}: cannot be read ({error}); is it complete?") from error

    def _image_connections(self, reader: AnyReader, topic: str | None) -> list[Connection]:
        images = sorted({c.topic for c in reader.connections if c.msgtype in IMAGE_TYPES})
        listed = ", ".join(images) or "none"
        if topic is None:
            if len(images) != 1:
                raise InputError(f"bag {self.path}: say with --image-topic which to read; its image topics: {listed}")
            topic = images[0]
        connections = [c for c in reader.connections if c.topic == topic]
        if not connections:
            raise InputError(f"bag {self.path}: has no topic '{topic}'; its image topics: {listed}")
        if topic not in images:
            raise InputError(
                f"bag {self.path}: topic '{topic}' holds {connections[0].msgtype}, expected one of "
                f"{', '.join(IMAGE_TYPES)}; its image topics: {listed}"
            )
        if not any(c.msgcount for c in connections):
            raise InputError(f"bag {self.path}: topic '{topic}' holds no message; its image topics: {listed}")
        return connections
