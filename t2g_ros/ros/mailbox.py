"""The hand-over from the DDS side to the inference thread: one place, the latest wins, what it displaced is counted."""

from __future__ import annotations

from threading import Lock
from time import monotonic_ns
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds the newest item only. `dropped` counts the items that were overwritten before anybody took them."""

    def __init__(self) -> None:
        self.dropped = 0
        self.since_ns: int | None = None
        """Steady time since which there has always been an item; None while there is none."""
        self._lock = Lock()
        self._item: Item | None = None

    def put(self, item: Item) -> bool:
        """Leave an item; return whether the mailbox was empty, so that its reader has to be woken."""
        with self._lock:
            was_empty = self._item is None
            self._item = item
            if was_empty:
                self.since_ns = monotonic_ns()
            self.dropped += not was_empty
            return was_empty

    def peek(self) -> Item | None:
        """Return the item and leave it there; None if there is none."""
        return self._item

    def take(self) -> Item | None:
        """Return the item and leave the mailbox empty; None if there is none."""
        with self._lock:
            item, self._item, self.since_ns = self._item, None, None
            return item
