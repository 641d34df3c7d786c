r"""Whether one sample lies above another, by permutation; several questions at once.

If the labels of two samples mean nothing, every way to deal them out is as likely as the one that
was seen. So

$$p = \frac{\#\{\text{deals whose difference of means is at least the one seen}\}}{\#\text{deals}}$$

is exact whatever the distribution. The bound comes from the same test: the largest $\delta$ for
which it would still refuse that the first sample lies $\delta$ above the second. A bound above 0
and a p below the level are therefore one statement.

Sources: The Design of Experiments (Fisher, 1935), section 21; A Simple Sequentially Rejective
Multiple Test Procedure (Holm, 1979) https://www.jstor.org/stable/4615733
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ttr_core.lab import student

COUNTED = 50_000
"""Deals up to which all are counted; beyond, as many are drawn at random."""

LEVEL, POWER = 0.05, 0.8


@lru_cache(maxsize=8)
def deals(first: int, second: int) -> np.ndarray:
    """Returns which members of both samples go to the first one, a row for each deal.

    The first row is the deal that was seen.

    Args:
        first: size of the first sample.
        second: size of the other.

    Example:
        >>> deals(1, 2).tolist()
        [[True, False, False], [False, True, False], [False, False, True]]
    """
    whole, count = first + second, math.comb(first + second, first)
    if count <= COUNTED:
        found = np.zeros((count, whole), bool)
        for row, members in enumerate(itertools.combinations(range(whole), first)):
            found[row, list(members)] = True
        return found
    order = np.random.default_rng(0).random((COUNTED, whole)).argsort(axis=1)
    drawn = order < first
    drawn[0] = np.arange(whole) < first
    return drawn


def p_above(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the one-sided p of a permutation test that the first sample lies above the second.

    Args:
        first: a sample.
        second: another.

    Example:
        >>> p_above([3.0, 4.0], [1.0, 2.0])  # 1 of 6 deals
        0.16666666666666666
        >>> p_above([1.0], [1.0])
        1.0
    """
    _, gaps = _dealt(first, second)
    slack = 1e-12 * (1 + abs(gaps[0]))  # sums in another order
    return float(np.mean(gaps >= gaps[0] - slack))


def least_gain(first: Sequence[float], second: Sequence[float], level: float) -> float:
    """Returns a lower bound on how far the first sample lies above the second.

    Args:
        first: a sample.
        second: another.
        level: the share of such bounds that lie too high, at most.

    Returns:
        Minus infinity where the samples are too small for the level.

    Example:
        >>> least_gain([3.0, 4.0], [1.0, 2.0], 0.3)
        1.0
        >>> least_gain([3.0], [1.0], 0.05)
        -inf
    """
    moved, gaps = _dealt(first, second)
    # A deal reaches the difference seen, less delta, once delta is at least this:
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.where(moved < 1, (gaps[0] - gaps) / (1 - moved), -math.inf)
    place = math.floor(level * len(reached))
    return float(np.sort(reached)[place]) if place else -math.inf


def _dealt(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns of each deal how much of a shift of the first sample is in its difference, and that.

    The deal that was seen has all of it, 1; one that swaps the samples -1.
    """
    n, m = len(first), len(second)
    pooled = np.array([*first, *second], float)
    ours = deals(n, m)[:, :n].sum(1)
    sums = _as_numbers(n, m) @ pooled
    gaps = sums / n - (pooled.sum() - sums) / m
    return ours / n - (n - ours) / m, gaps


@lru_cache(maxsize=8)
def _as_numbers(first: int, second: int) -> np.ndarray:
    return deals(first, second).astype(float)


def holm(ps: Sequence[float]) -> list[float]:
    """Returns p values that are corrected for their number, by Holm's step-down method.

    Args:
        ps: a p value for each question.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
        [0.03, 0.06, 0.06, 0.02]
    """
    found, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = largest
    return found


def detectable(spread: float, n: int, level: float = LEVEL, power: float = POWER) -> float:
    """Returns the difference of two means that a test finds so often.

    Args:
        spread: standard deviation within a sample.
        n: size of each of two samples.
        level: of the one-sided test.
        power: how often a difference of that size is found.

    Example:
        >>> round(detectable(1.0, 12), 2)
        1.05
    """
    free = 2 * n - 2
    return (student(1 - level, free) + student(power, free)) * spread * math.sqrt(2 / n)
