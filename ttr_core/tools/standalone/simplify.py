"""A file with less in it that computes the same."""

from __future__ import annotations

import ast

from .dissolve import dissolved
from .parsed import with_cuts
from .rehearsal import FileFault, Rehearsal
from .statements import Statements
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
    found = Rehearsal(text)
    for _ in range(ROUNDS):
        try:
            ahead = _round(found, roots, offered)
            if len(ahead) >= len(found.text):
                break
            found = Rehearsal(ahead)
        except (SyntaxError, FileFault):  # the edge of what can be rewritten: it stays as it was
            break
    return _layer_first(Statements.of(found.text))


def _round(found: Rehearsal, roots: tuple[str, ...], offered: tuple[str, ...]) -> str:
    file = tidied(dissolved(found), roots, offered)
    file = without_unread_fields(without_unread(file, CALLED))
    return tidied(with_expressions(file, CALLED), roots, offered).text


def _layer_first(file: Statements) -> str:
    """Returns a file that begins with the layer, whose parts follow."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    first = min(file.block(node)[0] for node in file.body if isinstance(node, kinds))
    (layer,) = (n for n in file.body if getattr(n, "name", "") == "Layer")
    start, end = file.block(layer)
    said = file.data[start:end] + b"\n\n"
    return with_cuts(file.data, [(first, first, said), (start, end, b"")]).decode()
