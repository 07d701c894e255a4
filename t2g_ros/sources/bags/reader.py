"""The messages of a bag, through rosbags where it is whole and salvaged where it is not."""

from __future__ import annotations

import struct
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.typesys import Stores, get_typestore

from t2g_ros.errors import InputError
from t2g_ros.sources.bags.message import BagMessage
from t2g_ros.sources.bags.salvage_mcap import salvage_mcap
from t2g_ros.sources.bags.salvage_sqlite import salvage_sqlite, why_unfinished
from t2g_ros.sources.base import Losses
from t2g_ros.sources.natural import natural_key
from t2g_ros.types import NS_PER_S

SALVAGED = {".mcap": salvage_mcap, ".db3": salvage_sqlite}
_ROS1_HEADER = struct.Struct("<4xII")  # after the sequence number


@dataclass(slots=True)
class Topic:
    """What a bag holds of one topic."""

    msgtype: str
    count: int


class BagReader:
    """Topics and messages of a rosbag2 (a folder or one of its files) or a ROS 1 bag, one message in memory at a time.

    A bag that rosbags cannot open (truncated, without metadata.yaml, with a write-ahead log that was never merged) is
    read from end to end once to find out what it holds.

    Attributes:
        topics: what the bag holds, by name.
        span_ns: time from the first to the last message.

    Raises:
        InputError: there is no such bag, or nothing in it can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise InputError(f"bag {path}: no such file or folder")
        self._is_ros1 = path.suffix == ".bag" and path.is_file()
        self._store = get_typestore(Stores.ROS1_NOETIC if self._is_ros1 else Stores.ROS2_JAZZY)
        self.topics: dict[str, Topic] = {}
        self.span_ns = 0
        self._damage: str | None = self._unfinished()
        if self._damage is None:
            try:
                self._list_whole()
            except Exception as error:  # rosbags lets its storages' own errors through: apsw, struct, YAML
                self._damage = str(error) or type(error).__name__
        if self._damage is not None:
            self._list_salvaged(self._damage)

    def messages(self, topics: Collection[str], losses: Losses) -> Iterator[BagMessage]:
        """Yield the messages of these topics in recorded order; what cannot be read goes to `losses`."""
        damage = self._damage
        given: dict[str, array[int]] = defaultdict(lambda: array("q"))
        if damage is None:
            try:
                for message in self._whole(topics):
                    given[message.topic].append(message.recorded_ns)
                    yield message
                return
            except Exception as error:
                damage = str(error) or type(error).__name__
        files = self._storage_files()
        how = ", ".join(file.name for file in files) + " read without an index" if files else "the rest is lost"
        losses.add(f"bag {self.path} is not whole ({damage})", how)
        before = {topic: Counter(times) for topic, times in given.items()}
        for message in self._salvaged(files, losses):
            if message.topic not in topics:
                continue
            seen = before.get(message.topic)
            if seen is not None and seen[message.recorded_ns] > 0:
                seen[message.recorded_ns] -= 1
            else:
                yield message

    def deserialize(self, message: BagMessage) -> Any:
        """Return the message; raises what rosbags raises where the bytes are damaged, which is not one class."""
        if self._is_ros1:
            return self._store.deserialize_ros1(message.data, message.msgtype)
        return self._store.deserialize_cdr(message.data, message.msgtype)

    def stamp_ns(self, message: BagMessage) -> int | None:
        """Return the header's stamp without deserialising the rest; None where the message is too short for one."""
        data = message.data
        try:
            if self._is_ros1:
                seconds, nanoseconds = _ROS1_HEADER.unpack_from(data)
            else:
                seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
        except (struct.error, IndexError):
            return None
        return seconds * NS_PER_S + nanoseconds

    def _unfinished(self) -> str | None:
        """Say why rosbags would refuse the bag, or leave out or make up a part of it without an error."""
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            return "it has no metadata.yaml"
        databases = [file for file in self._storage_files() if file.suffix == ".db3"]
        return next((reason for file in databases if (reason := why_unfinished(file))), None)

    def _reader(self) -> Ros1Reader | Ros2Reader:
        """Not `AnyReader`, which goes by the suffix alone; a rosbag2 folder may have that of ROS 1."""
        return Ros1Reader(self.path) if self._is_ros1 else Ros2Reader(self.path)

    def _list_whole(self) -> None:
        with self._reader() as reader:
            for connection in reader.connections:
                topic = self.topics.setdefault(connection.topic, Topic(connection.msgtype, 0))
                topic.count += connection.msgcount
            self.span_ns = max(0, reader.end_time - reader.start_time)

    def _whole(self, topics: Collection[str]) -> Iterator[BagMessage]:
        with self._reader() as reader:
            connections = [c for c in reader.connections if c.topic in topics]
            if connections:  # rosbags takes none to mean all
                for connection, recorded_ns, data in reader.messages(connections):
                    yield BagMessage(connection.topic, connection.msgtype, recorded_ns, data)

    def _list_salvaged(self, damage: str) -> None:
        self.topics = {}
        times: list[int] = []
        losses = Losses()
        for message in self._salvaged(self._storage_files(), losses):
            self.topics.setdefault(message.topic, Topic(message.msgtype, 0)).count += 1
            times = [min([message.recorded_ns, *times]), max([message.recorded_ns, *times])]
        if not times:
            found = "; ".join([damage, *losses.sentences()])
            raise InputError(f"bag {self.path}: cannot be read ({found}); is it a bag, and complete?")
        self.span_ns = times[1] - times[0]

    def _salvaged(self, files: list[Path], losses: Losses) -> Iterator[BagMessage]:
        for file in files:
            yield from SALVAGED[file.suffix](file, losses)

    def _storage_files(self) -> list[Path]:
        """Return the files that can be salvaged, in the order in which a recorder numbers them."""
        files = self.path.iterdir() if self.path.is_dir() else [self.path]
        return sorted((f for f in files if f.suffix in SALVAGED and f.is_file()), key=natural_key)
