"""What a reader is told of an ingredient: its equation, when to use it, its source, its code."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass

from ..space.ingredient import Ingredient
from .docstrings import paragraphs, sections

CITED = re.compile(r"(\S.*?) \(([^()]*)\) (https://\S+)")


@dataclass(frozen=True)
class Lesson:
    """An ingredient in words.

    Args:
        name: as specs have it.
        summary: what it is, in a line.
        parts: (whether it is an equation, it): equations as LaTeX, paragraphs as Markdown.
        sources: (title, authors and year, address) of the papers it is from.
        deviation: what differs from them; may be empty.
        code: its class.

    Example:
        >>> import ttr_core as ttr
        >>> lesson(ttr.choices("optimizer")[0]).code.splitlines()[0]
        '@dataclass(frozen=True)'
    """

    name: str
    summary: str
    parts: tuple[tuple[bool, str], ...]
    sources: tuple[tuple[str, str, str], ...]
    deviation: str
    code: str


def lesson(cls: type[Ingredient]) -> Lesson:
    r"""Returns what a reader is told of an ingredient, from its docstring.

    Args:
        cls: a choice of any family.

    Example:
        >>> import ttr_core as ttr
        >>> told = lesson(ttr.choices("weights")[0])
        >>> told.name, told.parts[0]
        ('Uniform', (True, '\\gamma_i^{(t)} = 1'))
    """
    found = sections(cls)
    (_, summary), *parts = paragraphs(found[""])
    return Lesson(
        cls.name,
        _plain(summary),
        tuple((equation, text if equation else _plain(text)) for equation, text in parts),
        tuple(CITED.findall(" ".join(found.get("Reference", "").split()))),
        _plain(" ".join(found.get("Deviation", "").split())),
        textwrap.dedent(inspect.getsource(cls)),
    )


def _plain(text: str) -> str:
    """Returns a paragraph whose code is in single back quotes."""
    return re.sub(r"``(.+?)``", r"`\1`", text)
