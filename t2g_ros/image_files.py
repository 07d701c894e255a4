"""What a JPEG or PNG file says of itself: read before it is decoded, which allocates what its header asks for."""

from __future__ import annotations

from collections.abc import Iterator

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segment that holds the size (SOF0 to SOF15, without the tables among them)."""
_JPEG_SEGMENTS = _JPEG_FRAMES | {0xC4, 0xCC, *range(0xDA, 0xF0), 0xFE}
"""Markers that a length follows. Before the scan there are no others; what decoders make of those differs."""


def jpeg_is_complete(data: bytes) -> bool:
    """Whether an end marker follows the image's own scan (a thumbnail in the header has one too)."""
    return any(marker == _JPEG_SCAN and data.find(_JPEG_END, at) != -1 for marker, at in _jpeg_segments(data))


def png_is_complete(data: bytes) -> bool:
    """Whether the end chunk is there."""
    return PNG_END in data[-1024:]


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header declares; None if it does not."""
    for marker, at in _jpeg_segments(data):
        if marker in _JPEG_FRAMES and at + 9 <= len(data):  # marker, length, bits per sample, height, width
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
    return None


def png_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header declares; None if it does not."""
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment up to the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # any number of them may fill the space before a marker
            at += 1
            continue
        if marker not in _JPEG_SEGMENTS:
            return
        yield marker, at
        if marker == _JPEG_SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
