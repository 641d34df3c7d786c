r"""Which ingredient explains what: an analysis of variance over three factors.

The score of a cell is a sum of what its weights, its function class and its optimizer add, and a
rest. A factor explains what the sum of squares of the rest falls by when it is added last,

$$\eta^2 = \frac{RSS(\text{the two others}) - RSS(\text{all three})}{\text{total}},$$

so that, in a grid with holes, nothing is counted that another factor could explain as well. How
often dealing the factor's levels out anew explains as much is its p (Freedman and Lane: A
nonstochastic interpretation of reported significance levels, 1983).
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FACTORS = ("weights", "function", "optimizer")
DEALS = 2000


@dataclass(frozen=True)
class Explained:
    """What a factor explains.

    Args:
        factor: weights, function or optimizer.
        levels: how many of them there are.
        share: of the total sum of squares.
        p: by permutation; 1 where it has one level.
        means: level -> mean score of its cells, and how many they are; the best first.
    """

    factor: str
    levels: int
    share: float
    p: float
    means: Mapping[str, tuple[float, int]]


@dataclass(frozen=True)
class Variance:
    """An analysis of variance.

    Args:
        factors: each alone.
        shared: share that two factors explain as well as one another.
        rest: share that no sum of them explains: interactions, and luck.
        n: cells.
    """

    factors: tuple[Explained, ...]
    shared: float
    rest: float
    n: int


def what_explains(
    places: Sequence[tuple[str, str, str]], scores: Sequence[float]
) -> Variance | None:
    """Returns what the ingredients of some cells explain of their scores.

    Args:
        places: weights, function class and optimizer of each cell.
        scores: of each.

    Returns:
        None where too few cells are left to tell, or all are alike.

    Example:
        >>> cells = [(w, f, "o") for w in "ab" for f in "xyz" for _ in range(2)]
        >>> found = what_explains(cells, [1.0 if w == "a" else 0.0 for w, *_ in cells])
        >>> [round(one.share, 3) for one in found.factors], round(found.rest, 3)
        ([1.0, 0.0, 0.0], 0.0)
    """
    y = np.array(scores, float)
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    columns = [_columns([place[i] for place in places]) for i in range(len(FACTORS))]
    if total <= 1e-12 or len(y) <= 1 + sum(c.shape[1] for c in columns):
        return None
    whole = _rest(columns, y)
    found = tuple(
        _factor(i, [place[i] for place in places], columns, y, whole, total)
        for i in range(len(FACTORS))
    )
    rest = whole / total
    return Variance(found, max(0.0, 1 - rest - sum(one.share for one in found)), rest, len(y))


def _factor(
    place: int, levels: list[str], columns: list[np.ndarray], y: np.ndarray, whole: float,
    total: float,
) -> Explained:  # fmt: skip
    own, others = columns[place], [c for i, c in enumerate(columns) if i != place]
    sums: dict[str, list[float]] = collections.defaultdict(list)
    for level, score in zip(levels, y.tolist(), strict=True):
        sums[level].append(score)
    means = {level: (float(np.mean(each)), len(each)) for level, each in sums.items()}
    order = dict(sorted(means.items(), key=lambda item: -item[1][0]))
    if not own.shape[1]:
        return Explained(FACTORS[place], 1, 0.0, 1.0, order)
    fitted, left = _fit(others, y)
    seen = float((left**2).sum()) - whole
    source, count = np.random.default_rng(0), 0
    project = _projector(others), _projector([*others, own])
    for _ in range(DEALS):
        dealt = fitted + source.permutation(left)
        gained = dealt @ (project[1] - project[0]) @ dealt
        count += gained >= seen - 1e-12
    return Explained(
        FACTORS[place], len(means), seen / total, (1 + count) / (1 + DEALS), order
    )  # fmt: skip


def _columns(levels: Sequence[str]) -> np.ndarray:
    """Returns a column of zeros and ones for each level but the first."""
    names = list(dict.fromkeys(levels))[1:]
    return np.array([[float(level == name) for name in names] for level in levels]).reshape(
        len(levels), len(names)
    )


def _projector(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the matrix that fits by the columns and a constant."""
    design = np.hstack([np.ones((len(columns[0]), 1)), *columns])
    return np.asarray(design @ np.linalg.pinv(design))


def _fit(columns: Sequence[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fitted = _projector(columns) @ y
    return fitted, y - fitted


def _rest(columns: Sequence[np.ndarray], y: np.ndarray) -> float:
    return float((_fit(columns, y)[1] ** 2).sum())
