"""Messages of a damaged SQLite storage (.db3), read in the order of recording and around what is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from t2g_ros.sources.bag_message import BagMessage
from t2g_ros.sources.base import Losses

MAX_PROBES = 20_000
"""Message numbers tried one after the other behind a damaged page; a page of the tree lists fewer."""
_ROWS = "SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id"
_NEXT = "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1"


def salvage_sqlite(path: Path, losses: Losses) -> Iterator[BagMessage]:
    """Yield the readable messages, those in a write-ahead log (`-wal`) included; the files are not changed.

    What is lost goes to `losses`; a file that is no rosbag2 storage yields nothing.
    """
    try:
        database = _open(path, losses)
    except sqlite3.Error as error:
        losses.add(f"{path.name}: {error}", "nothing of it could be read")
        return
    with closing(database):
        try:
            topics = {key: (_text(name), _text(kind)) for key, name, kind in _topics(database)}
        except sqlite3.Error as error:
            losses.add(f"{path.name}: its list of topics cannot be read ({error})", "nothing of it could be read")
            return
        for topic_id, recorded_ns, data in _rows(database, path.name, losses):
            if topic_id in topics and isinstance(recorded_ns, int) and isinstance(data, bytes):
                yield BagMessage(*topics[topic_id], recorded_ns, data)
            else:
                losses.add(f"{path.name}: a message is damaged", f"recorded at {recorded_ns} ns")


def _open(path: Path, losses: Losses) -> sqlite3.Connection:
    has_log = path.with_name(f"{path.name}-wal").exists()
    try:
        return _connect(path, "mode=ro")
    except sqlite3.Error:
        # In a folder that cannot be written, SQLite cannot use the log or roll back.
        database = _connect(path, "immutable=1")
    if has_log:
        losses.add(f"{path.name}-wal cannot be used", "what it holds is missing; copy the bag to a writable folder")
    return database


def _connect(path: Path, option: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?{option}", uri=True)
    try:
        database.text_factory = bytes  # damaged text must not stop the reading of a row
        database.execute("PRAGMA writable_schema = ON")  # without it a file shorter than it should be is refused
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _topics(database: sqlite3.Connection) -> Iterator[tuple[int, bytes, bytes]]:
    yield from database.execute("SELECT id, name, type FROM topics")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _rows(database: sqlite3.Connection, name: str, losses: Losses) -> Iterator[tuple[object, object, object]]:
    last = -1
    while True:
        try:
            for number, *row in database.execute(_ROWS, (last,)):
                if number > last:  # a damaged tree may lead back
                    last = number
                    yield row[0], row[1], row[2]
            return
        except sqlite3.DatabaseError as error:
            following = _readable_after(database, last)
            if following is None:
                losses.add(f"{name}: {error}", f"everything after message {last} is lost")
                return
            losses.add(f"{name}: {error}", f"messages {last + 1} to {following - 1} are lost")
            last = following - 1


def _readable_after(database: sqlite3.Connection, last: int) -> int | None:
    """Return the number of the first message that can be found after the one behind `last`."""
    for number in range(last + 1, last + 1 + MAX_PROBES):
        try:
            row = database.execute(_NEXT, (number,)).fetchone()
        except sqlite3.DatabaseError:
            continue
        return None if row is None else int(row[0])
    return None
