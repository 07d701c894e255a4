"""The alarm that a stream's masks are unstable: thresholds on its running means, with hysteresis in value and time."""

from __future__ import annotations

from dataclasses import dataclass

from t2g_ros.inference.stability import Stability
from t2g_ros.types import NS_PER_S

CLEAR_SHARE = 0.8
"""An alarm is over when the measure is back within this share of its limit, so that it does not chatter around it."""


@dataclass(frozen=True)
class StabilityLimits:
    """What is still stable; the defaults are never crossed."""

    max_mean_flicker: float = 1.0
    """Largest `Stability.mean_flicker`, 0..1."""
    min_mean_consistency: float = 0.0
    """Smallest `Stability.mean_consistency`, 0..1."""
    after_s: float = 2.0
    """Seconds of stamps for which a limit has to be crossed before the alarm is raised."""


class StabilityAlarm:
    """Watches one stream. Each of the two means raises an alarm of its own and ends it by itself."""

    def __init__(self) -> None:
        self._flicker, self._inconsistency = _Threshold(), _Threshold()

    def update(self, stability: Stability, stamp_ns: int, limits: StabilityLimits) -> dict[str, str]:
        """Take the next frame's stability; return what is alarming by the name of the measure, empty while all is well.

        A mean that is not known (flow can follow nothing, or the stream is new) ends its alarm: nothing supports it.
        """
        alarms = {}
        flicker, limit = stability.mean_flicker, limits.max_mean_flicker
        if self._flicker.crossed(flicker, limit, stamp_ns, limits.after_s):
            alarms["mean_flicker"] = (
                f"mean flicker is {flicker:.3g}, allowed is {limit:g}; the alarm ends at {CLEAR_SHARE * limit:.3g}"
            )
        # Seen as the share that is inconsistent it is the same rule.
        consistency, limit = stability.mean_consistency, 1 - limits.min_mean_consistency
        inconsistency = None if consistency is None else 1 - consistency
        if self._inconsistency.crossed(inconsistency, limit, stamp_ns, limits.after_s):
            alarms["mean_temporal_consistency"] = (
                f"mean temporal consistency is {consistency:.3g}, expected at least {limits.min_mean_consistency:g}; "
                f"the alarm ends at {1 - CLEAR_SHARE * limit:.3g}"
            )
        return alarms


class _Threshold:
    """Crossed once a value has been above its limit for a while, until it is clearly below."""

    def __init__(self) -> None:
        self._raised = False
        self._since_ns: int | None = None
        """Stamp since which the value has been above the limit."""

    def crossed(self, value: float | None, limit: float, stamp_ns: int, after_s: float) -> bool:
        if value is None or value <= CLEAR_SHARE * limit:
            self._raised = False
        if value is None or value <= limit:
            self._since_ns = None
            return self._raised
        if self._since_ns is None or stamp_ns < self._since_ns:  # a bag that loops
            self._since_ns = stamp_ns
        self._raised |= stamp_ns - self._since_ns >= after_s * NS_PER_S
        return self._raised
