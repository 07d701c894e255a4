"""Messages of an MCAP file that was not finished or is damaged, read without its index (https://mcap.dev/spec).

The libraries stop at the first record that is not whole, so the walk over the records is our own. What is yielded is
what was recorded: a chunk that was cut off gives its complete messages, and one whose content has changed (its
checksum differs, or it does not decompress) gives none.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any
from zlib import crc32

from lz4.frame import LZ4FrameDecompressor

from t2g_ros.sources.bags.message import BagMessage
from t2g_ros.sources.base import Losses

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor
else:
    from backports.zstd import ZstdDecompressor

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
FIRST_PRIVATE = 0x80
_DATA_END_BYTES = 4
_RECORD = struct.Struct("<BQ")  # opcode, length of what follows
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK = struct.Struct("<QQQII")  # first and last log time, size and CRC of the content, length of compression's name
_CRC_AT = 24  # in a chunk
_FOOTER = struct.Struct("<BQQ")
_FOOTER_BYTES = 29 + len(MAGIC)
_CHUNK_START = re.compile(rb"\x06.{36}(?:\0\0\0\0|\x03\0\0\0lz4|\x04\0\0\0zstd)", re.DOTALL)
_DECOMPRESSORS: dict[bytes, Callable[[], Any] | None] = {
    b"": None,
    b"lz4": LZ4FrameDecompressor,
    b"zstd": ZstdDecompressor,
}


@dataclass(frozen=True, slots=True)
class _Chunk:
    begin: int
    """Where the compressed content begins in the file."""
    end: int
    """Where it should end."""
    compression: bytes
    size: int
    crc: int
    """0 where the recorder wrote none."""


@dataclass(slots=True)
class _Definitions:
    schemas: dict[int, str] = field(default_factory=dict)
    channels: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Topic and message type."""

    def add(self, opcode: int, record: bytes) -> None:
        if opcode == SCHEMA:
            key, length = struct.unpack_from("<HI", record)
            self.schemas[key] = record[6 : 6 + length].decode()
        elif opcode == CHANNEL:
            key, schema, length = struct.unpack_from("<HHI", record)
            self.channels[key] = (record[8 : 8 + length].decode(), self.schemas.get(schema, ""))


def salvage_mcap(path: Path, losses: Losses) -> Iterator[BagMessage]:
    """Yield the readable messages, chunk by chunk in the order of the file, within a chunk by time.

    What is lost goes to `losses`; a file that is no MCAP yields nothing.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            losses.add(f"{path.name} does not begin as an MCAP file", "nothing of it could be read")
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield from _walk(data, _summary(data), losses, path.name)


def write_checksums(path: Path) -> None:
    """Give the chunks of a whole file the checksum of their content, without which no reader can notice damage."""
    with path.open("r+b") as file, mmap(file.fileno(), 0) as data:
        at = len(MAGIC)
        while at + _RECORD.size <= len(data):
            opcode, length = _RECORD.unpack_from(data, at)
            if opcode == DATA_END:
                return
            chunk = _chunk_at(data, at)
            if chunk is not None and chunk.crc == 0:
                content, intact = _decompress(data, chunk)
                if intact:
                    struct.pack_into("<I", data, at + _RECORD.size + _CRC_AT, crc32(content))
            at += _RECORD.size + length


def _walk(data: mmap, known: _Definitions, losses: Losses, name: str) -> Iterator[BagMessage]:
    at = len(MAGIC)
    certain = at  # all before is read or given up
    while at + _RECORD.size <= len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        begin, end = at + _RECORD.size, at + _RECORD.size + length
        if _is_end(data, at):
            return
        chunk = _chunk_at(data, at)
        whole = end <= len(data) and (0 < opcode < DATA_END or opcode >= FIRST_PRIVATE)
        if not whole or (opcode == CHUNK and chunk is None):
            resumed = _next_chunk(data, certain if opcode != CHUNK else max(certain, at + 1))
            if resumed is not None:
                losses.add(f"{name} has damaged records", f"bytes {at} to {resumed}")
                at = certain = resumed
                continue
            messages = [] if chunk is None else _messages(_decompress(data, chunk)[0], known, losses, name)
            losses.add(
                f"{name} ends in the middle of a record or is damaged from there on",
                f"byte {at} of {len(data)}; {len(messages)} complete messages after it were saved",
            )
            yield from messages
            return
        if chunk is not None:
            content, intact = _decompress(data, chunk)
            if intact:
                yield from _messages(content, known, losses, name)
            else:
                losses.add(f"{name} has a chunk whose content is damaged", f"bytes {begin} to {end}")
            certain = end
        elif opcode in (SCHEMA, CHANNEL, MESSAGE):  # recorded without chunks
            yield from _messages(data[at:end], known, losses, name)
        at = end
    losses.add(f"{name} has no end", f"the recorder was stopped at byte {len(data)}")


def _is_end(data: mmap, at: int) -> bool:
    """Tell the end of what was recorded from a changed byte that looks like it."""
    opcode, length = _RECORD.unpack_from(data, at)
    end = at + _RECORD.size + _DATA_END_BYTES
    if opcode != DATA_END or length != _DATA_END_BYTES or data[end : end + 1] == bytes([MESSAGE]):
        return False
    return _next_chunk(data, at) is None


def _summary(data: mmap) -> _Definitions:
    """Return the topics that the end of the file lists, none where it has no end: chunks may be too damaged to."""
    known = _Definitions()
    at = len(data) - _FOOTER_BYTES
    if at < len(MAGIC) or data[-len(MAGIC) :] != MAGIC:
        return known
    _, _, start = _FOOTER.unpack_from(data, at)
    if len(MAGIC) <= start < at:
        _messages(data[start:at], known, Losses(), "")
    return known


def _messages(content: bytes, known: _Definitions, losses: Losses, name: str) -> list[BagMessage]:
    """Return the complete messages among a chunk's records, by time; what defines topics goes to `known`."""
    found = []
    at = 0
    while at + _RECORD.size <= len(content):
        opcode, length = _RECORD.unpack_from(content, at)
        begin, end = at + _RECORD.size, at + _RECORD.size + length
        if end > len(content):
            break
        try:
            if opcode == MESSAGE:
                key, _, recorded_ns, _ = _MESSAGE.unpack_from(content, begin)
                if key not in known.channels:
                    losses.add(f"{name}: what topic a message is of is lost", f"channel {key} at {recorded_ns} ns")
                elif begin + _MESSAGE.size <= end:
                    topic, msgtype = known.channels[key]
                    found.append(BagMessage(topic, msgtype, recorded_ns, content[begin + _MESSAGE.size : end]))
            else:
                known.add(opcode, content[begin:end])
        except (struct.error, UnicodeDecodeError):
            pass  # a record too short or changed; the next one is found by its length
        at = end
    return sorted(found, key=lambda message: message.recorded_ns)


def _chunk_at(data: mmap, at: int) -> _Chunk | None:
    """Return the chunk that begins at `at`, None where the fields do not agree with each other."""
    body = at + _RECORD.size
    if data[at] != CHUNK or body + _CHUNK.size > len(data):
        return None
    _, length = _RECORD.unpack_from(data, at)
    _, _, size, crc, name_bytes = _CHUNK.unpack_from(data, body)
    name_at = body + _CHUNK.size
    begin = name_at + name_bytes + 8
    if name_bytes > 4 or begin > len(data):
        return None
    compression = data[name_at : name_at + name_bytes]
    (content_bytes,) = struct.unpack_from("<Q", data, begin - 8)
    if compression not in _DECOMPRESSORS or begin + content_bytes != body + length:
        return None
    return _Chunk(begin, begin + content_bytes, compression, size, crc)


def _next_chunk(data: mmap, at: int) -> int | None:
    """Return where the next chunk begins that is whole."""
    while match := _CHUNK_START.search(data, at):
        chunk = _chunk_at(data, match.start())
        if chunk is not None and chunk.end <= len(data):
            return match.start()
        at = match.start() + 1
    return None


def _decompress(data: mmap, chunk: _Chunk) -> tuple[bytes, bool]:
    """Return what there is of the chunk's content, and whether it is what was recorded."""
    content = data[chunk.begin : chunk.end]  # to the end of the file, if that comes first
    decompressor = _DECOMPRESSORS[chunk.compression]
    if decompressor is not None:
        try:
            content = decompressor().decompress(content)
        except Exception:  # each library has its own
            return b"", False
    return content, len(content) == chunk.size and chunk.crc in (0, crc32(content))
