"""Which published layers define a cell: in a frame that all share, some are the same function."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ..layers.published import catalog
from .same import same_as


def defining(names: Iterable[str]) -> dict[str, str]:
    """Returns which layers define a cell: in a frame that all share, some are the same function.

    Args:
        names: of published layers.

    Returns:
        Each name -> the earliest published of those that are the same function, itself included.

    Example:
        >>> defining(["qknorm-attention", "softmax-attention"])["qknorm-attention"]
        'softmax-attention'
    """
    order = {name: (catalog[name].paper.year, place) for place, name in enumerate(catalog)}
    firsts: list[str] = []
    found: dict[str, str] = {}
    for name in sorted((catalog[name].name for name in names), key=order.__getitem__):
        first = next((one for one in firsts if _same(one, name)), name)
        if first == name:
            firsts.append(name)
        found[name] = first
    return found


def _same(one: str, other: str) -> bool:
    """Whether two published layers are the same function of the same signals."""
    return str(catalog[other].spec) in _cells(one)


@lru_cache(maxsize=256)
def _cells(name: str) -> frozenset[str]:
    """Returns the texts of the cells that a published layer is."""
    spec = catalog[name].spec
    return frozenset((str(spec), *same_as(spec)))
