"""A measured number, how far it may be off, and from how many sequences it is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

RESAMPLES = 400
OUTER = 0.025
"""The share of resamples that is left out on each side: what stays is a 95 % interval."""

Statistic = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Measured:
    """A number with its interval.

    Args:
        value: it.
        low: lower end of the interval.
        high: upper end.
        n: sequences, or repeats, that it is made from.
        bound: ``at least`` where the sequences end before it shows; empty where it is known.

    Example:
        >>> Measured(0.5, 0.4, 0.6, 16).row("overwritten")["low"]
        0.4
    """

    value: float
    low: float
    high: float
    n: int
    bound: str = ""

    @classmethod
    def exact(cls, value: float, n: int = 1) -> Measured:
        """Returns a number that nothing is drawn for."""
        return cls(value, value, value, n)

    def row(self, metric: str) -> dict[str, Any]:
        """Returns it as a row of a table."""
        return {"metric": metric, **asdict(self)}


def resampled(each: Tensor, statistic: Statistic, most: float | None = None) -> Measured:
    """Returns a statistic of a mean over sequences, with its interval by the bootstrap.

    Sequences are drawn anew with replacement, 400 times, always by the same draws.

    Args:
        each: what every sequence says, [B, ...].
        statistic: of means over sequences, [R, ...] -> [R].
        most: the largest value that the sequences can show.
    """
    count, source = len(each), torch.Generator().manual_seed(0)
    drawn = torch.randint(count, (RESAMPLES, count), generator=source)
    wide = each.double()
    value = float(statistic(wide.mean(0, keepdim=True)))
    spread = statistic(wide[drawn].mean(1)).sort().values
    outside = math.floor(OUTER * RESAMPLES)
    low, high = float(spread[outside]), float(spread[-1 - outside])
    at_end = most is not None and value >= most
    return Measured(value, min(low, value), max(high, value), count, "at least" if at_end else "")


def last_above(means: Tensor, level: float) -> Tensor:
    """Returns how many leading entries are above a level, where they tend to fall, [R, N] -> [R].

    It is where the decreasing fit of least squares crosses the level.

    Args:
        means: a share for every load, or length, or distance, in order.
        level: to be reached.

    Example:
        >>> last_above(torch.tensor([[1.0, 0.8, 1.0, 0.5, 1.0]]), 0.9).tolist()
        [3]
    """
    above = torch.nn.functional.pad((means - level + 1e-9).cumsum(-1), (1, 0))
    reversed_order = above.flip(-1).argmax(-1)  # of equal maxima the last
    return above.shape[-1] - 1 - reversed_order
