"""Who sends a camera's images: one driver, a driver that was restarted, or by mistake two at a time."""

from __future__ import annotations

from collections import deque

INTERLEAVED_S = 2.0
"""Two changes of the sender within this time make it two at a time; the restart of a driver is one."""


class Senders:
    """Follows the numbers under which publishers send, each counting its own images up by one.

    Only while there is more than one publisher does a number that is not the next one tell a change: of a single one it
    tells that images were lost. Where the middleware gives no numbers every image then counts as a change.
    """

    def __init__(self) -> None:
        self._new = True
        self._last: int | None = None
        self._changes_s: deque[float] = deque(maxlen=2)

    def joined(self) -> None:
        """Note a publisher that is new: its first image is no surprise."""
        self._new = True

    def sent(self, number: int | None, publishers: int, now_s: float) -> bool:
        """Note an image while there are so many publishers; return whether it may not continue the one before.

        Args:
            number: the publisher's, None if it is not known.
            publishers: to which the subscription is connected.
            now_s: seconds of any clock that does not jump.
        """
        follows = self._new or (number is not None and self._last is not None and number == self._last + 1)
        self._new, self._last = False, number
        if publishers < 2:
            self._changes_s.clear()
            return False
        if not follows:
            self._changes_s.append(now_s)
        # Two that count in step follow each other's numbers by chance, so each image counts as a change by now.
        return not follows or self.interleaved(now_s)

    def interleaved(self, now_s: float) -> bool:
        """Whether images of two publishers come mixed."""
        return len(self._changes_s) == 2 and now_s - self._changes_s[0] <= INTERLEAVED_S
