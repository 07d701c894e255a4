"""A mean that can be merged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Mean:
    """A mean that grows; the means of two halves merge by adding both fields."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Take in one value; nan, which says that there was nothing to measure, is left out."""
        if value == value:
            self.total += value
            self.count += 1

    @property
    def value(self) -> float:
        """The mean; nan if there were no values."""
        return self.total / self.count if self.count else float("nan")
