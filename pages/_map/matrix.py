"""How the whole space is laid out in one matrix: groups of columns, one for each choice of an axis.

Rows are the choices of one axis, groups those of another, and the columns of a group are the
choices of the third that have something to show there. Choices with a single cell share the last
group, where a column is a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

AXES_OF = {
    "optimizer": ("weights", "function"),
    "function": ("weights", "optimizer"),
    "weights": ("optimizer", "function"),
}
"""Axis of the groups -> axis of the rows, axis of the columns in a group."""

ALONE = "a cell each"
"""The heading of the choices that have a single cell."""

MARK = "¦"
"""Between the parts of a column's key: its heading, its name, the choices that it stands for."""

NAME = re.compile(r"\b\w+=")


@dataclass(frozen=True)
class Places:
    """Where each cell stands.

    Args:
        rows: the choices from top to bottom.
        keys: the columns from left to right, and what keeps groups apart.
    """

    rows: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def columns(self) -> int:
        """How many columns hold cells."""
        return sum(not key.startswith(MARK * 2) for key in self.keys)


def short(choice: str) -> str:
    """Returns a choice as it stands at the edge: the values of its options without their names.

    Example:
        >>> short("Linear(map=elu1)"), short("Momentum(push_by=token, link=twice_sigmoid)")
        ('Linear(elu1)', 'Momentum(token, twice_sigmoid)')
    """
    return NAME.sub("", choice)


def laid_out(cells: pd.DataFrame, facet: str, only_layers: bool) -> tuple[Places, pd.DataFrame]:
    """Returns a layout and the cells that are on it, each with the ``key`` of its column.

    Args:
        cells: columns weights, function, optimizer and verdict; the order of choices is theirs.
        facet: the axis that has a group per choice.
        only_layers: leave out rows and columns without a layer; else those without anything that
            is defined.
    """
    rows, columns = AXES_OF[facet]
    defined = cells["verdict"] == "layer" if only_layers else cells["verdict"] != "undefined"
    some = cells[defined]
    counts = some.groupby(facet).size()
    single = {choice for choice in counts.index if counts[choice] == 1}
    keys: dict[tuple[str, str], str] = {}
    order: list[str] = []
    for number, (head, pairs) in enumerate(_groups(some, facet, columns, single)):
        order += [MARK * 2 + str(number)] if order else []  # a gap
        for place, (choice, column) in enumerate(pairs):
            name = choice if choice in single else column
            key = MARK.join((head if place == 0 else "", short(name), choice, column))
            keys[choice, column] = key
            order.append(key)
    pairs_of = zip(cells[facet], cells[columns], strict=True)
    placed = cells.assign(key=[keys.get(pair) for pair in pairs_of])
    kept = placed[placed["key"].notna() & placed[rows].isin(set(some[rows]))]
    alone = kept[facet].isin(single) & (kept["verdict"] == "undefined")
    names = tuple(name for name in cells[rows].unique() if name in set(some[rows]))
    return Places(names, tuple(order)), kept[~alone]


def _groups(
    some: pd.DataFrame, facet: str, columns: str, single: set[str]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields the heading of each group and its columns: the choices of both axes."""
    for choice in some[facet].unique():
        if choice not in single:
            own = some[some[facet] == choice][columns]
            yield short(choice), [(choice, column) for column in _ordered(some[columns], own)]
    rest = some[some[facet].isin(single)]
    if len(rest):
        yield ALONE, list(zip(rest[facet], rest[columns], strict=True))


def _ordered(every: Iterable[str], some: Iterable[str]) -> list[str]:
    held = set(some)
    return [one for one in dict.fromkeys(every) if one in held]
