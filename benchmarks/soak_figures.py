"""The arithmetic of the soak: frames unaccounted for, masks with a wrong stamp, recovery, drift of the latency."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from statistics import median

import numpy as np
from soak_camera import Sent

OUTCOMES = ("segmented", "dropped", "rejected", "failed", "waiting")


def unaccounted(values: dict[str, str]) -> int:
    """Frames received of which the diagnostics of a camera do not say what became of them."""
    counts = {key.removeprefix("frames_"): int(value) for key, value in values.items() if key.startswith("frames_")}
    skipped = sum(count for key, count in counts.items() if key.startswith("skipped_"))
    return counts["received"] - skipped - sum(counts[outcome] for outcome in OUTCOMES)


def wrong_stamps(
    masks: Sequence[tuple[int, str, int, int]], sent: Sequence[Sent], model_size: tuple[int, int]
) -> list[str]:
    """Say of each mask (stamp, frame_id, height, width) that belongs to no image, or came twice, what is wrong."""
    images = {(image.stamp_ns, image.frame_id): image for image in sent}
    seen: set[tuple[int, str]] = set()
    wrong = []
    for stamp_ns, frame_id, height, width in masks:
        image = images.get((stamp_ns, frame_id))
        if image is None:
            wrong.append(f"{frame_id} at {stamp_ns}: no such image")
        elif not image.masked:
            wrong.append(f"{frame_id}: a mask of an image with {image.fault}")
        elif (height, width) not in ((image.height, image.width), model_size):
            wrong.append(f"{frame_id}: {width}x{height} for {image.width}x{image.height}")
        elif (stamp_ns, frame_id) in seen:
            wrong.append(f"{frame_id}: twice")
        seen.add((stamp_ns, frame_id))
    return wrong


def recovery_s(ends_ns: Sequence[int], arrivals_ns: Sequence[int]) -> dict[str, float | None]:
    """Of the seconds from the end of a fault to the arrival of the next mask; `never`: faults that none came after."""
    arrivals = sorted(arrivals_ns)
    found = [(arrivals[at] - end) / 1e9 for end in ends_ns if (at := bisect_right(arrivals, end)) < len(arrivals)]
    figures: dict[str, float | None] = {"median": None, "p95": None, "longest": None}
    if found:
        figures = {"median": median(found), "p95": float(np.percentile(found, 95)), "longest": max(found)}
    return figures | {"never": len(ends_ns) - len(found)}


def drift_ms(latencies: Sequence[tuple[float, float]], seconds: float) -> dict[str, float | None]:
    """Medians of (time in s, latency in ms) in the second and the last quarter of the run, and the difference."""
    early = [ms for at, ms in latencies if seconds / 4 <= at < seconds / 2]
    late = [ms for at, ms in latencies if at >= seconds * 3 / 4]
    if not (early and late):
        return {"early": None, "late": None, "drift": None}
    return {"early": median(early), "late": median(late), "drift": median(late) - median(early)}
