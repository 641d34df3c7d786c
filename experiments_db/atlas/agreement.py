"""Whether a probe says what a training finds: rank correlations over layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

RESAMPLES = 2000
OUTER = 0.025
"""The share of resamples that is left out on each side: what stays is a 95 % interval."""

LEAST = 5
"""Layers below which nothing is said."""


@dataclass(frozen=True)
class Agreement:
    """A rank correlation over layers, with its interval by the bootstrap over them.

    Args:
        probe: the metric of a probe.
        training: what a training ended with.
        rho: Spearman's coefficient; positive where what is better in one is better in the other.
        low: lower end of the 95 % interval.
        high: upper end.
        n: layers.
    """

    probe: str
    training: str
    rho: float
    low: float
    high: float
    n: int


def agreement(pairs: pd.DataFrame, probe: str, training: str, sign: int = 1) -> Agreement | None:
    """Returns how a column of a table agrees with another in the order of its rows.

    Args:
        pairs: a row per layer.
        probe: a column.
        training: another.
        sign: -1 where less of exactly one of them is better.

    Returns:
        None where fewer than `LEAST` rows have both.

    Example:
        >>> table = pd.DataFrame({"held": [1, 2, 3, 4, 5, 6], "steps": [60, 50, 40, 30, 20, 10]})
        >>> agreement(table, "held", "steps", sign=-1).rho
        1.0
    """
    both = pairs[[probe, training]].astype(float).dropna()
    if len(both) < LEAST:
        return None
    x, y = both[probe].to_numpy(), sign * both[training].to_numpy()
    source = np.random.default_rng(0)
    drawn = source.integers(len(both), size=(RESAMPLES, len(both)))
    spread = [_spearman(x[rows], y[rows]) for rows in drawn]
    low, high = np.nanquantile(spread, (OUTER, 1 - OUTER))
    rho = _spearman(x, y)
    return Agreement(probe, training, rho, float(low), float(high), len(both))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the correlation of ranks; NaN where one side is all alike."""
    ranks = [pd.Series(side).rank().to_numpy() for side in (x, y)]
    if any(np.ptp(side) == 0 for side in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
