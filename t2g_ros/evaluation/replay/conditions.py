"""Under which conditions a recording is replayed: frame rates, irregular ones, dropped frames, bad weather."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Condition:
    """Which frames a stream gets, and what was done to them.

    Under every condition every frame of the recording is judged, and judged once, so that rows compare: a stride of k
    is replayed as k streams that start one frame apart. So is jitter; of the streams with dropped frames each frame
    counts in the first that has it. Choices by chance depend on the seed and the frame's index alone.
    """

    name: str
    """Such as `stride 3`, `jitter 3`, `drop 0.3`, `fog 2`."""
    stride: int = 1
    """Frames from one to the next; with jitter the mean."""
    jitter: bool = False
    """One frame at random of every `stride`, so that two are 1 to 2 * stride - 1 frames apart."""
    drop: float = 0.0
    """Share of frames, below 1, that are lost at random."""
    corruption: str | None = None
    """One of `corruptions.FAMILIES`."""
    severity: int | None = None
    """1 to 5."""
    seed: int = 0

    @property
    def streams(self) -> int:
        """Into how many streams the recording is taken apart."""
        return math.ceil(1 / (1 - self.drop)) if self.drop else self.stride

    def keeps(self, index: int, stream: int) -> bool:
        """Whether the frame of that index is in the stream."""
        if self.drop:
            return (_chance(self.seed, index) + stream / self.streams) % 1 < 1 - self.drop
        if self.jitter:
            return _order(self.seed, index // self.stride, self.stride)[index % self.stride] == stream
        return index % self.stride == stream

    def judges(self, index: int, stream: int) -> bool:
        """Whether the frame of that index counts as one of the stream: it is in this and in none before."""
        return self.keeps(index, stream) and not any(self.keeps(index, before) for before in range(stream))


def conditions(
    strides: Sequence[int] = (1,),
    jitters: Sequence[int] = (),
    drops: Sequence[float] = (),
    corruptions: Sequence[str] = (),
    severities: Sequence[int] = (),
) -> list[Condition]:
    """All conditions that are asked for, each once; stride 1, to which the others are compared, comes first."""
    base = Condition("stride 1")
    found = [base]
    found += [replace(base, name=f"stride {k}", stride=k) for k in strides]
    found += [replace(base, name=f"jitter {k}", stride=k, jitter=True) for k in jitters]
    found += [replace(base, name=f"drop {share:g}", drop=share) for share in drops]
    found += [
        replace(base, name=f"{family} {severity}", corruption=family, severity=severity)
        for family in corruptions
        for severity in severities
    ]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def _chance(seed: int, index: int) -> float:
    return float(np.random.default_rng((seed, index)).random())


@lru_cache(maxsize=64)
def _order(seed: int, block: int, size: int) -> list[int]:
    return np.random.default_rng((seed, block)).permutation(size).tolist()
