"""A frame on its way through a segmenter, and how frames of several cameras are encoded as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from t2g_ros.runtimes.base import Runtime
from t2g_ros.types import Frame


@dataclass
class Step:
    """A frame that a `StreamSegmenter` has begun and not finished."""

    runtime: Runtime
    frame: Frame
    rgb: np.ndarray
    """(height, width, 3) uint8, of the network's input size."""
    slot: int
    """Where the memory has room for it."""
    encoded: bool = False
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Stages until now."""

    def encode(self) -> None:
        """Encode the frame alone."""
        start = perf_counter()
        self.runtime.encode(self.rgb, self.slot)
        self._is_encoded(start)

    def _is_encoded(self, start: float) -> None:
        self.encoded = True
        self.stage_ms["encode"] = (perf_counter() - start) * 1e3


def encode_together(steps: Sequence[Step]) -> None:
    """Encode frames of several streams of one network as a batch, so each of them takes as long as all.

    A frame's features then are what they would be alone only up to rounding.

    Raises:
        Exception: whatever the engine raises; the frames may still be encoded alone.
    """
    start = perf_counter()
    images = np.stack([step.rgb for step in steps])
    steps[0].runtime.encode_batch(images, [(step.runtime, step.slot) for step in steps])
    for step in steps:
        step._is_encoded(start)
