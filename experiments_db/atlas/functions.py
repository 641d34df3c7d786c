"""What an atlas has a row for: every layer of the grid and of the catalog, each function once."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import ttr_core as ttr
from ttr_core import RequestError

LAYER = "layer"
"""The verdict on what is measured."""


@functools.lru_cache(maxsize=1)
def first_of_each() -> Mapping[str, str]:
    """Returns the text of every layer -> the first layer that is the same function.

    Example:
        >>> first_of_each()["Gate | Linear | SGD"]
        'Gate | Linear | SGD'
        >>> first_of_each()["Uniform | Linear | Hebbian"]
        'Uniform | Linear | OneStep'
    """
    found: dict[str, str] = {}
    for cell in _layers():
        alike = (found[text] for text in (cell.spec, *cell.same_as) if text in found)
        found[cell.spec] = next(alike, cell.spec)
    return found


def _layers() -> list[ttr.Cell]:
    cells = {cell.spec: cell for cell in ttr.grid()}
    for entry in ttr.catalog.values():
        if str(entry.spec) not in cells:
            cells[str(entry.spec)] = ttr.cell(entry.spec)
    return [cell for cell in cells.values() if cell.verdict == LAYER]


def matching(part: str = "") -> tuple[str, ...]:
    """Returns the functions of which a layer has a text, or a published name, with a part.

    Args:
        part: a part of a spec or of a name, whatever its case; empty for all.

    Raises:
        RequestError: no layer has it.

    Example:
        >>> matching("gated-deltanet")
        ('Gate | Linear | SGD',)
    """
    firsts, wanted = first_of_each(), part.lower()
    names: dict[str, list[str]] = {}
    for name, entry in ttr.catalog.items():
        names.setdefault(str(entry.spec), []).append(name)
    found = {
        first: None
        for text, first in firsts.items()
        if any(wanted in one.lower() for one in (text, *names.get(text, ())))
    }
    if not found:
        raise RequestError(
            f"No layer has {part[:80]!r} in its spec or its published name: write a part of one, "
            "such as 'Gate | Linear', or leave it out for all of them."
        )
    return tuple(found)
