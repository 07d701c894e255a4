"""Which frames of the stream are remembered, chosen by time, and in which slot of the engine's buffers each lies."""

from __future__ import annotations

import numpy as np

from t2g_ros.types import NS_PER_S

CLIP_SPAN_S = 0.3
"""Seconds that the frames in memory span, unless told otherwise."""


class ClipMemory:
    """Addresses T slots by time so that they span `span_s` seconds at any frame rate.

    The newest `lag + 1` frames are always held. A frame that grows older than that becomes an anchor if it lies
    nearer than its successor to one spacing, `span_s` over the number of anchor slots, after the last anchor, and
    is forgotten otherwise. So a fast camera fills the span evenly instead of with its last few frames, a slow one
    keeps every frame, and jitter moves an anchor by no more than a frame. The last anchor takes part however old it
    is, the others within the span. Nothing is allocated after construction, and a slot is never moved: a frame's
    cached keys stay valid as it ages, because its age enters only through the offsets.

    Args:
        slots: T, the frames held.
        span_s: seconds that the memory reaches back from the segmented frame.
        lag: frames held beyond the segmented one, so that it is segmented with its future in memory.

    Raises:
        ValueError: `span_s` is not positive or the lag does not fit.
    """

    def __init__(self, slots: int, span_s: float, lag: int = 0) -> None:
        if not span_s > 0:
            raise ValueError(f"clip_span_s is {span_s}, expected more than 0")
        if not 0 <= lag < slots:
            raise ValueError(f"lag is {lag}, expected 0 to {slots - 1} for a clip of {slots} frames")
        self.slots = slots
        self.lag = lag
        self._anchor_slots = slots - 1 - lag
        self._spacing_ns = round(span_s * NS_PER_S / max(self._anchor_slots, 1))
        # The last anchor may itself be up to a spacing old, so the oldest may lie one beyond the span.
        self._horizon_ns = round(span_s * NS_PER_S) + self._spacing_ns
        self._stamps_ns = np.zeros(slots, np.int64)
        self._recent: list[int] = []  # slots, oldest first
        self._anchors: list[int] = []  # slots, oldest first
        self._free = list(range(slots))

    def clear(self) -> None:
        """Forget every frame."""
        self._recent.clear()
        self._anchors.clear()
        self._free = list(range(self.slots))

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest frame, None when empty."""
        return int(self._stamps_ns[self._recent[-1]]) if self._recent else None

    def claim(self, stamp_ns: int) -> int:
        """Make room for a frame newer than all others and return the slot to encode it into."""
        if len(self._recent) > self.lag:
            retired = self._recent.pop(0)
            self._retire(retired, self.stamp_ns(self._recent[0]) if self._recent else stamp_ns)
        slot = self._free.pop()
        self._stamps_ns[slot] = stamp_ns
        self._recent.append(slot)
        return slot

    def _retire(self, slot: int, successor_ns: int) -> None:
        """Keep a frame that is no longer recent as an anchor, or free its slot."""
        if self._anchor_slots == 0 or (self._anchors and not self._is_nearer(slot, successor_ns)):
            self._free.append(slot)
            return
        if len(self._anchors) == self._anchor_slots:
            self._free.append(self._anchors.pop(0))
        self._anchors.append(slot)

    def _is_nearer(self, slot: int, successor_ns: int) -> bool:
        """Whether a frame is nearer than its successor to one spacing after the last anchor."""
        due_ns = self.stamp_ns(self._anchors[-1]) + self._spacing_ns
        return abs(self.stamp_ns(slot) - due_ns) < abs(successor_ns - due_ns)

    def reference(self) -> int | None:
        """Slot of the frame to segment now, None while a lag fills."""
        return self._recent[0] if len(self._recent) > self.lag else None

    def stamp_ns(self, slot: int) -> int:
        """Stamp of the frame in a slot."""
        return int(self._stamps_ns[slot])

    def view(self, reference: int) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of every slot relative to the reference's frame, and which slots take part: both (T,) float32."""
        offsets_ns = self._stamps_ns - self._stamps_ns[reference]
        valid = np.zeros(self.slots, np.float32)
        for slot in (*self._anchors, *self._recent):
            valid[slot] = abs(offsets_ns[slot]) <= self._horizon_ns
        # A camera may be slower than the span is long: the last frame is better than none.
        valid[self._anchors[-1:]] = 1
        return (offsets_ns / NS_PER_S * valid).astype(np.float32), valid
