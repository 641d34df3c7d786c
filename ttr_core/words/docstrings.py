"""Docstrings of the house as their parts: what a page or a document is made from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

SECTION = re.compile(r"^(Args|Returns|Raises|Reference|Deviation|Example):", re.M)


def sections(cls: type) -> dict[str, str]:
    """Returns the parts of a docstring by name; the text before them under the empty name."""
    body, *named = SECTION.split(inspect.getdoc(cls) or "")
    found = {"": body}
    for title, text in zip(named[::2], named[1::2], strict=True):
        found[title] = f"{found[title]}\n{text}" if title in found else text
    return found


def paragraphs(text: str) -> Iterator[tuple[bool, str]]:
    """Yields (whether it is an equation, it) of a docstring's text: paragraphs and equations.

    Example:
        >>> list(paragraphs("One line. $$a = b$$"))
        [(False, 'One line.'), (True, 'a = b')]
    """
    for index, piece in enumerate(re.split(r"\$\$(.+?)\$\$", text, flags=re.S)):
        if index % 2:
            yield True, " ".join(piece.split())
        else:
            parts = re.split(r"\n\s*\n", piece)
            yield from ((False, " ".join(part.split())) for part in parts if part.strip())
