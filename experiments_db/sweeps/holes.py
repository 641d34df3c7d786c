"""Places in braces: ``"{weights} | Linear | SGD"`` is filled once for each of its values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ttr_core import RequestError

HOLE = re.compile(r"\{\s*(\w*)\s*\}")


def names(text: str) -> list[str]:
    """Returns the names in braces, in order.

    Example:
        >>> names("{weights} | Linear | SGD")
        ['weights']
    """
    return list(dict.fromkeys(HOLE.findall(text)))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Returns the text with a value in every place in braces.

    Raises:
        RequestError: a place has no value.
    """
    empty = [name for name in names(text) if name not in values]
    if empty:
        raise RequestError(
            f"{text!r} has the place {{{empty[0]}}}: add a key {empty[0] or 'for it'!r} with its "
            "values beside the spec."
        )
    return HOLE.sub(lambda match: values[match[1]], text)
