"""Messages of a damaged SQLite storage (.db3), read in the order of recording and around what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from t2g_ros.sources.bags.message import BagMessage
from t2g_ros.sources.base import Losses

MAX_PROBES = 20_000
"""Message numbers tried one after the other behind a damaged page; a page of the tree lists fewer."""
_HEADER_BYTES = 100
_TOPICS = "SELECT id, CAST(name AS BLOB), CAST(type AS BLOB) FROM topics"
_ROWS = "SELECT id, topic_id, timestamp, CAST(data AS BLOB) FROM messages WHERE id > ? ORDER BY id"
_NEXT = "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1"


def salvage_sqlite(path: Path, losses: Losses) -> Iterator[BagMessage]:
    """Yield the readable messages, those in a write-ahead log (`-wal`) included; the files are not changed.

    What is lost goes to `losses`; a file that is no rosbag2 storage yields nothing.
    """
    try:
        with _opened(path, losses) as database:
            topics = {key: (_text(name), _text(kind)) for key, name, kind in database.execute(_TOPICS)}
            for topic_id, recorded_ns, data in _rows(database, path.name, losses):
                if topic_id in topics and isinstance(recorded_ns, int) and data:
                    yield BagMessage(*topics[topic_id], recorded_ns, data)
                else:
                    losses.add(f"{path.name}: a message is damaged", f"recorded at {recorded_ns} ns")
    except apsw.Error as error:
        losses.add(f"{path.name}: {error}", "nothing of it could be read")


def why_unfinished(path: Path) -> str | None:
    """Return why SQLite would leave out or make up a part of the file without an error, None where it would not."""
    log = _log(path)
    if log is not None:
        return f"{log.name} was never merged into {path.name}"
    with path.open("rb") as file:
        page_bytes, pages = _pages(file.read(_HEADER_BYTES))
    size = path.stat().st_size
    if size % page_bytes or size < page_bytes * pages:
        return f"{path.name} has {size} bytes, expected {pages} pages of {page_bytes}"
    return None


def _log(path: Path) -> Path | None:
    log = path.with_name(f"{path.name}-wal")
    return log if log.is_file() and log.stat().st_size else None


def _pages(header: bytes | bytearray) -> tuple[int, int]:
    """Return the size of a page in bytes, and how many there should be."""
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else max(1, size), int.from_bytes(header[28:32], "big")


class _Torn(apsw.VFS):
    """Makes a page that is missing, or was cut, an error: SQLite would read zeros in its place."""

    name = "t2g_torn"

    def __init__(self) -> None:
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _TornFile("", name, flags)


class _TornFile(apsw.VFSFile):
    """The header (https://sqlite.org/fileformat.html) tells how many pages there should be.

    A recorder that was killed may have written more pages than it says; then it is made to say so.
    """

    def __init__(self, vfs: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(vfs, name, flags)
        size = super().xFileSize()
        header = bytearray(super().xRead(min(size, _HEADER_BYTES), 0))
        page_bytes, pages = _pages(header)
        self._readable = size - size % page_bytes
        pages = max(pages, self._readable // page_bytes)
        self._size = pages * page_bytes
        header[28:32] = pages.to_bytes(4, "big")
        header[92:96] = header[24:28]  # says that the number of pages is valid
        self._header = bytes(header)

    def xFileSize(self) -> int:
        return self._size

    def xRead(self, amount: int, offset: int) -> bytes:
        if offset + amount > self._readable:
            raise apsw.IOError(f"byte {offset} is missing")
        data = super().xRead(amount, offset)
        header = self._header[offset : offset + amount]
        return header + data[len(header) :]


_TORN = _Torn()  # has to live as long as what it opens


@contextmanager
def _opened(path: Path, losses: Losses) -> Iterator[apsw.Connection]:
    log = _log(path)
    index = path.with_name(f"{path.name}-shm")  # SQLite makes one to read a log, and leaves it there
    had_index = index.exists()
    try:
        database = _connect(path, "mode=ro", None) if log else _connect(path, "immutable=1", _TORN)
    except apsw.Error as error:
        if log is None:
            raise
        losses.add(f"{log.name} cannot be used ({error})", "is the bag in a folder that can be written?")
        database = _connect(path, "immutable=1", _TORN)
    try:
        with closing(database):
            yield database
    finally:
        if log and not had_index:
            index.unlink(missing_ok=True)


def _connect(path: Path, option: str, vfs: _Torn | None) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    database = apsw.Connection(f"{path.resolve().as_uri()}?{option}", flags=flags, vfs=vfs.name if vfs else None)
    try:
        database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except apsw.Error:
        database.close()
        raise
    return database


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _rows(database: apsw.Connection, name: str, losses: Losses) -> Iterator[tuple[Any, Any, Any]]:
    last = -1
    while True:
        try:
            for number, topic_id, recorded_ns, data in database.execute(_ROWS, (last,)):
                if number > last:  # a damaged tree may lead back
                    last = number
                    yield topic_id, recorded_ns, data
            return
        except apsw.Error as error:
            following = _readable_after(database, last)
            if following is None:
                losses.add(f"{name}: {error}", f"everything after message {last} is lost")
                return
            losses.add(f"{name}: {error}", f"messages {last + 1} to {following - 1} are lost")
            last = following - 1


def _readable_after(database: apsw.Connection, last: int) -> int | None:
    """Return the number of the first message that can be found after the one behind `last`."""
    for number in range(last + 1, last + 1 + MAX_PROBES):
        try:
            row = database.execute(_NEXT, (number,)).fetchone()
        except apsw.Error:
            continue
        return None if row is None else int(row[0])
    return None
