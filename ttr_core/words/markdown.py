"""Markdown as GitHub reads it: what the generated pages are put together from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any


def rich(text: str) -> str:
    """Returns a paragraph of a docstring on one line, its code and formulas as GitHub writes them.

    Example:
        >>> rich("the share ``a`` of $x$")
        'the share `a` of $`x`$'
    """
    line = re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
    return re.sub(r"\$([^$]+)\$", r"$`\1`$", line)


def plain(text: str) -> str:
    """Returns text in which nothing but its code spans is Markdown."""
    return re.sub(r"(`[^`]*`)|([*_<])", _escaped, " ".join(text.split()))


def _escaped(match: re.Match[str]) -> str:
    return match[1] or f"\\{match[2]}"


def code(text: str) -> str:
    """Returns text as code."""
    return f"`{text}`"


def value(setting: Any) -> str:
    """Returns the value of a setting as the command line takes it.

    Example:
        >>> [value(setting) for setting in (True, None, 0.5, ("q", "k"))]
        ['true', 'none', '0.5', 'q,k']
    """
    if isinstance(setting, (bool, type(None))):
        return str(setting).lower()
    if isinstance(setting, (tuple, list)):
        return ",".join(map(value, setting)) or "none"
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def formula(latex: str) -> str:
    """Returns an equation that stands by itself."""
    return f"```math\n{latex.strip()}\n```"


def link(name: str) -> str:
    """Returns a link to the section of this page with that name."""
    return f"[{name}](#{name})"


def listing(items: Iterable[str]) -> str:
    """Returns items one after another."""
    return ", ".join(items)


def bullets(facts: Iterable[tuple[str, str]]) -> str:
    """Returns labeled facts as a list; a fact without text is left out."""
    return "\n".join(f"- **{label}**: {text}" for label, text in facts if text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table."""
    lines = [head, ["---"] * len(head), *([boxed(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def boxed(text: str) -> str:
    """Returns text as it may stand in a table."""
    return text.replace("|", r"\|")
