"""The family tree of the catalog: every layer below the one that it is a move from."""

from __future__ import annotations

from collections.abc import Iterable

from ..layers.published import Published, catalog
from ..words import markdown as md
from ..words.neighbors import move


def tree() -> str:
    """Returns the catalog as nested points, the layers that start a family outermost.

    Example:
        >>> tree().startswith("- [softmax-attention](#softmax-attention) (2017)")
        True
    """
    roots = (entry for entry in catalog.values() if not entry.parent)
    return "\n".join(line for root in roots for line in _branch(root, 0))


def _branch(entry: Published, depth: int) -> Iterable[str]:
    yield f"{'  ' * depth}- {_told(entry)}"
    for child in catalog.values():
        if child.parent == entry.name:
            yield from _branch(child, depth + 1)


def _told(entry: Published) -> str:
    """What a line says: name, year, what of the spec changes, and the sentence of the entry."""
    if not entry.parent:
        changed = md.code(str(entry.spec))
    elif here := move(catalog[entry.parent].spec, entry.spec):
        changed = md.code(here)
    else:
        changed = "its frame or its numbers"
    return f"{md.link(entry.name)} ({entry.paper.year}), {changed}: {md.plain(entry.summary)}"
