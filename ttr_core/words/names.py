"""What a cell is called: its published names, those of a layer that equals it, or a date.

That this catalog has no name for a cell says nothing about the literature: it is *not in this
catalog as of* a date. And a layer that is what it is by its frame, such as Mamba, gives another
frame no name: there its three ingredients are *the cell of mamba*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ..layers.frame import FRAMES
from ..layers.published import AS_OF, ELSEWHERE, Elsewhere, Published, catalog
from ..space.spec import Spec
from .neighbors import chosen

PUBLISHED = "published"
NUMBERS = "published with other numbers"
EQUIVALENT = "equivalent to a published one"
BEYOND = "published elsewhere"
ABSENT = f"not in this catalog as of {AS_OF:%Y-%m-%d}"
STANDINGS = (PUBLISHED, EQUIVALENT, NUMBERS, BEYOND, ABSENT)
"""What can be said of a cell, the strongest first."""


@dataclass(frozen=True)
class Standing:
    """How a cell stands in the literature, as far as this catalog knows.

    Args:
        said: one of `STANDINGS`.
        names: published names, as they are said in the standard frame.
        elsewhere: the layers without an entry that have this cell.

    Example:
        >>> import ttr_core as ttr
        >>> str(standing(ttr.Spec.parse("Gate | Linear | SGD"), ()))
        'published: gated-deltanet'
    """

    said: str
    names: tuple[str, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()

    def __str__(self) -> str:
        return f"{self.said}: {', '.join(self.names)}" if self.names else self.said

    @property
    def title(self) -> str:
        """What the cell is called where one name has to do."""
        if not self.names:
            return self.said.capitalize()
        return f"same layer as {self.names[0]}" if self.said == EQUIVALENT else self.names[0]


def called(name: str, frame: str = "standard") -> str:
    """Returns what a published layer is called in a frame.

    Args:
        name: its name in the catalog.
        frame: ``published`` for its own, or one of the named frames.

    Example:
        >>> called("mamba", "published"), called("mamba", "standard"), called("gla", "standard")
        ('mamba', 'cell of mamba', 'gla')
    """
    entry = catalog[name]
    own = frame == PUBLISHED or FRAMES.get(frame) == entry.frame
    return f"cell of {entry.name}" if entry.tied and not own else entry.name


def standing(spec: Spec, same_as: tuple[str, ...]) -> Standing:
    """Returns how a cell stands in the literature, as far as this catalog knows.

    Args:
        spec: a layer.
        same_as: texts of the cells that are the same layer.

    Example:
        >>> import ttr_core as ttr
        >>> str(standing(ttr.Spec.parse("Uniform | Kernel | SGD"), ()))
        'published elsewhere: the memory of LUCID'
    """
    alike = [Spec.parse(text) for text in same_as]
    twins = tuple(entry for other in alike for entry in _at(other))
    named = _named(spec)
    others = tuple(one for other in alike for one in _named(other))
    for said, entries, beyond in (
        (PUBLISHED, _at(spec), named),
        (EQUIVALENT, twins, others),
        (NUMBERS, _like(spec), named),
        (BEYOND, (), named or others),
    ):
        if entries or (said == BEYOND and beyond):
            return Standing(said, _names(entries, beyond), beyond)
    return Standing(ABSENT)


def _names(entries: Iterable[Published], beyond: Iterable[Elsewhere]) -> tuple[str, ...]:
    """Returns what a cell is called in the standard frame: whole layers first, the earliest."""
    order = sorted(entries, key=lambda e: e.paper.year)
    whole, part = ([called(e.name) for e in order if e.tied == tied] for tied in (False, True))
    return tuple(dict.fromkeys([*whole, *(one.name for one in beyond), *part]))


def _at(spec: Spec) -> tuple[Published, ...]:
    return tuple(catalog[name] for name in catalog.of(spec))


def _like(spec: Spec) -> tuple[Published, ...]:
    """Returns the entries that differ from a spec by numbers at most."""
    return _entries().get(chosen(spec), ())


@lru_cache(maxsize=1)
def _entries() -> dict[tuple[str, ...], tuple[Published, ...]]:
    """The entries of the catalog by what they chose."""
    found: dict[tuple[str, ...], tuple[Published, ...]] = {}
    for entry in catalog.values():
        own = chosen(entry.spec)
        found[own] = (*found.get(own, ()), entry)
    return found


def _named(spec: Spec) -> tuple[Elsewhere, ...]:
    """Returns the layers without an entry that have this cell, whatever its numbers."""
    own = chosen(spec)
    return tuple(one for one, cell in zip(ELSEWHERE, _cells(), strict=True) if cell == own)


@lru_cache(maxsize=1)
def _cells() -> tuple[tuple[str, ...], ...]:
    """What each of `ELSEWHERE` chose."""
    return tuple(chosen(Spec.parse(one.cell)) for one in ELSEWHERE)
