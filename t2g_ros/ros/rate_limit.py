"""Thins a camera out to a rate, by its stamps."""

from __future__ import annotations

from t2g_ros.types import NS_PER_S

BURST = 2.0
"""Images that may come at once. With one, a camera at just this rate would lose every image that is early by a hair."""


class RateLimit:
    """A token bucket: every image that is let through costs a token, and time brings them back.

    By stamps, as all of the node's cadences, so that a bag is thinned out the same at any speed of playback.
    """

    def __init__(self) -> None:
        self._tokens = BURST
        self._last_ns: int | None = None

    def admits(self, stamp_ns: int, max_rate_hz: float) -> bool:
        """Whether the image of this stamp is to be segmented; a limit of 0 admits all."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if not max_rate_hz or last_ns is None or stamp_ns < last_ns:  # time that goes back begins anew
            self._tokens = BURST
        else:
            self._tokens = min(BURST, self._tokens + (stamp_ns - last_ns) / NS_PER_S * max_rate_hz)
        # Sums of fractions may fall short of 1 by their rounding.
        if max_rate_hz and self._tokens < 1 - 1e-6:
            return False
        self._tokens -= 1
        return True
