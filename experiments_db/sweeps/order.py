"""The order of a plan: by some of its settings, then the cheapest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COST = "cost"
"""In the order of a plan: what takes least comes first."""


def ranks(sets: Sequence[Mapping[str, str]], order: Sequence[str]) -> list[tuple[int, ...]]:
    """Returns the place of each configuration by the settings that a plan orders by.

    Args:
        sets: of each configuration, in the order of the plan, ``group.key`` -> its value.
        order: the settings; what has none of that name comes before what has.

    Example:
        >>> ranks([{"task.pairs": "32"}, {"task.pairs": "8"}, {"task.pairs": "32"}], ["pairs"])
        [(1,), (2,), (1,)]
    """
    named = [{key.partition(".")[2]: value for key, value in one.items()} for one in sets]
    places: dict[str, dict[str, int]] = {}
    for key in order:
        values = dict.fromkeys(one[key] for one in named if key in one)
        places[key] = {value: place for place, value in enumerate(values, 1)}
    return [
        tuple(places[key].get(one.get(key, ""), 0) for key in order if key != COST) for one in named
    ]
