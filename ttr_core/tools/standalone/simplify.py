"""A file with less in it that computes the same."""

from __future__ import annotations

import ast

from .brackets import with_changes
from .dissolve import dissolved
from .module_text import ModuleText
from .rehearsal import Rehearsal
from .tidy import tidied
from .unread import with_expressions, without_unread, without_unread_fields

ROUNDS = 6
CALLED = {"Layer", "test", "example", "close", "forward", "step", "advance", "regression"}
"""What whoever has the file calls."""


def simplified(text: str, roots: tuple[str, ...], offered: tuple[str, ...]) -> str:
    """Returns a file that does what it did, with fewer definitions; each round passes its test.

    Args:
        text: a file that passes its test.
        roots: definitions that are kept.
        offered: methods that are kept.
    """
    found = text
    for _ in range(ROUNDS):
        try:
            ahead = _round(found, roots, offered)
            Rehearsal(ahead)
        except Exception:  # the edge of what can be rewritten: the file stays as it passed
            break
        if len(ahead) >= len(found):
            break
        found = ahead
    return _layer_first(found)


def _round(text: str, roots: tuple[str, ...], offered: tuple[str, ...]) -> str:
    text = tidied(dissolved(text), roots, offered)
    text = without_unread_fields(without_unread(text, CALLED))
    return tidied(with_expressions(text, CALLED), roots, offered)


def _layer_first(text: str) -> str:
    """Returns a file that begins with the layer, whose parts follow."""
    source = ModuleText.of(text)
    start, end = source.block(source.defined["Layer"], source.defined["Layer"])
    definitions = [n for n in source.tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    first = source.block(definitions[0], definitions[0])[0]
    constants = [n for n in source.tree.body if isinstance(n, ast.Assign | ast.AnnAssign)]
    if constants:
        first = min(first, source.block(constants[0], constants[0])[0])
    layer = source.data[start:end] + b"\n\n"
    return with_changes(source, [(first, first, layer), (start, end, b"")])
