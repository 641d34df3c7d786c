"""Means over seeds with the interval that they are known to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

QUANTILES = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
    2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05,
)  # fmt: skip
"""Student's t that 95 % lie within, for 2, 3, ... 30 numbers."""
MANY = 2.04
"""For more: that of 31, which is never too narrow."""


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
        wide = QUANTILES[len(known) - 2] if len(known) <= len(QUANTILES) + 1 else MANY
        error = statistics.stdev(known) / math.sqrt(len(known))
        return cls(statistics.fmean(known), wide * error, len(known))

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
