"""What stands between the brackets of a definition or a call, rewritten."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from .parsed import Cut
from .statements import Statements

COLUMNS = 100


def text_of_node(source: Statements, node: Any) -> str:
    """Returns the text of a node."""
    return source.data[slice(*source.span(node))].decode()


def arguments_of(source: Statements, function: ast.FunctionDef) -> dict[str, str]:
    """Returns the arguments of a function as they stand there, by name."""
    args = function.args
    every = [*args.posonlyargs, *args.args]
    given: list[ast.expr | None] = [None] * (len(every) - len(args.defaults)) + [*args.defaults]
    made = {a.arg: _argument(source, a, d) for a, d in zip(every, given, strict=True)}
    if args.vararg is not None:
        made[args.vararg.arg] = "*" + text_of_node(source, args.vararg)
    elif args.kwonlyargs:
        made["*"] = "*"
    for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        made[a.arg] = _argument(source, a, d)
    if args.kwarg is not None:
        made[args.kwarg.arg] = "**" + text_of_node(source, args.kwarg)
    return made


def _argument(source: Statements, argument: ast.arg, default: ast.expr | None) -> str:
    start, end = source.span(argument)
    return source.data[start : end if default is None else source.span(default)[1]].decode()


def defined_with(source: Statements, function: ast.FunctionDef, pieces: Sequence[str]) -> Cut:
    """Returns the change that gives a function other arguments."""
    start = source.data.index(b"(", source.data.index(b"def ", source.span(function)[0]))
    body = source.span(function.body[0])[0]
    colon = source.data.rindex(b":", start, body)
    end = source.data.rindex(b")", start, colon)
    if function.returns is not None:
        arrow = source.data.rindex(b"->", start, source.span(function.returns)[0])
        end = source.data.rindex(b")", start, arrow)
    return _bracketed(source, start, end + 1, pieces)


def called_with(source: Statements, call: ast.Call, pieces: Sequence[str]) -> Cut:
    """Returns the change that gives a call other arguments."""
    start = source.data.index(b"(", source.span(call.func)[1])
    return _bracketed(source, start, source.span(call)[1], pieces)


def _bracketed(source: Statements, start: int, end: int, pieces: Sequence[str]) -> Cut:
    first = source.data.rfind(b"\n", 0, start) + 1
    last = source.data.find(b"\n", end)
    line, rest = source.data[first:start].decode(), source.data[end:last].decode()
    joined = f"({', '.join(pieces)})"
    if len(line + joined + rest) > COLUMNS and "\n" not in joined and pieces:
        margin = " " * (len(line) - len(line.lstrip()))
        inner = "".join(f"{margin}    {piece},\n" for piece in pieces)
        joined = f"(\n{inner}{margin})"
    return start, end, joined.encode()


def meets(cuts: Sequence[Cut], others: Sequence[Cut]) -> bool:
    """Whether changes overlap."""
    return any(a < d and c < b for a, b, _ in cuts for c, d, _ in others)
