"""Stage 1: what the atlas knows to be broken is not trained, and the reasons are counted.

The probes tell broken cells, and not good ones from better ones (docs/atlas.md): so that only two
plain failures count, and some of what they drop goes on by chance, to tell what they drop wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ttr_core.lab import digest

from ..atlas import Atlas

HOLDS_NOTHING = "holds no pair and bears no noise"
UNSETTLED = "a change of a millionth grows to the size of its output before the sequence ends"

NEEDED = ("capacity", "noise", "chaos")
"""Probes that are asked."""


def broken(numbers: Mapping[str, Any], length: int) -> str:
    """Returns why a cell is not worth a training by the numbers of its probes, or nothing.

    Args:
        numbers: a row of the atlas.
        length: tokens of the sequences that are trained on.

    Example:
        >>> broken({"pairs_held": 0.0, "noise_borne": 0.0, "horizon": 256.0}, 64)
        'holds no pair and bears no noise'
        >>> broken({"pairs_held": 8.0, "noise_borne": 1.5, "horizon": 256.0}, 64)
        ''
    """
    if numbers.get("pairs_held") == 0 and numbers.get("noise_borne") == 0:
        return HOLDS_NOTHING
    horizon = numbers.get("horizon")
    if horizon is not None and not pd.isna(horizon) and horizon < length:
        return UNSETTLED
    return ""


def broken_cells(atlas: Atlas, length: int) -> dict[str, str]:
    """Returns layer -> why it is not worth a training; numbers of an earlier revision say nothing.

    Args:
        atlas: what is known.
        length: tokens of the sequences that are trained on.
    """
    table = atlas.of_layers()
    if any(probe not in table for probe in NEEDED):
        return {}
    old = frozenset[str]().union(*(atlas.stale(probe) for probe in NEEDED))
    rows = {str(spec): row for spec, row in table.iterrows() if row["first"] not in old}
    found = {spec: broken(row.to_dict(), length) for spec, row in rows.items()}
    return {spec: why for spec, why in found.items() if why}


def lucky(names: Iterable[str], share: float, draw: str) -> frozenset[str]:
    """Returns a share of what is dropped that goes on by chance: one at least, if there is any.

    What is drawn hangs on the names alone, so that every driver draws the same.

    Args:
        names: of what is dropped.
        share: from 0 to 1.
        draw: tells one draw from another.

    Example:
        >>> sorted(lucky("abcdefghij", 0.2, "first")) == sorted(lucky("jihgfedcba", 0.2, "first"))
        True
        >>> len(lucky("abcdefghij", 0.05, "first")), len(lucky("abc", 0.0, "first"))
        (1, 0)
    """
    order = sorted(set(names), key=lambda name: digest({"draw": draw, "name": name}))
    return frozenset(order[: math.ceil(share * len(order))])
