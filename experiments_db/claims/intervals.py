"""Means over seeds with the interval that they are known to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from ttr_core.lab import student


@dataclass(frozen=True)
class Interval:
    """A mean of n numbers and half the width of its 95 % interval by Student's t.

    Args:
        mean: of the numbers.
        half: half the width; infinite for a single number, of whose spread nothing is known.
        n: how many.
    """

    mean: float
    half: float
    n: int

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Interval:
        """Returns the interval of some numbers.

        Example:
            >>> Interval.of([1.0, 1.0, 1.0])
            Interval(mean=1.0, half=0.0, n=3)
            >>> Interval.of([1.0]).half
            inf
        """
        known = list(numbers)
        if len(known) < 2:
            return cls(known[0] if known else math.nan, math.inf, len(known))
        error = statistics.stdev(known) / math.sqrt(len(known))
        half = student(0.975, len(known) - 1) * error
        return cls(statistics.fmean(known), half, len(known))

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.mean + self.half < 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.mean - self.half > 0

    def __str__(self) -> str:
        spread = "" if math.isinf(self.half) else f" ± {self.half:.2g}"
        return f"{self.mean:.3g}{spread} (n = {self.n})"
