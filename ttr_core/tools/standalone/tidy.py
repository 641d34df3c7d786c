"""A written file without what nothing in it uses, in lines that are short."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Sequence

from .parsed import below
from .statement import HOOKS, KNOWN, Given, Needs, Statement, is_harmless, lines_of, statement
from .statements import Statements

COLUMNS = 100


def tidied(file: Statements, roots: Iterable[str], offered: Iterable[str]) -> Statements:
    """Returns a file without what is not used.

    Args:
        file: its statements.
        roots: definitions that are kept.
        offered: methods that are kept.
    """
    roots, offered = {*roots}, {*offered}
    parts: Sequence[Statement] = file.parts
    before: list[tuple[str, ...]] = []
    while (lines := [one.lines for one in parts]) != before:
        before = lines
        parts = _without_aliases(_without_locals(parts))
        parts = _without_definitions(parts, roots, offered)
    whole = Statements([one for one in parts if one.lines]).closed()
    return Statements([*map(_with_joined_heads, whole.parts)])


# ---- definitions


def _without_definitions(
    parts: Sequence[Statement], names: set[str], attributes: set[str]
) -> list[Statement]:
    names, attributes, known = {*names}, {*attributes}, 0
    while len(names) + len(attributes) > known:
        known = len(names) + len(attributes)
        for one in parts:
            for need in _needed(one, names, attributes):
                names |= need.names
                attributes |= need.attributes
    return [_used(one, names, attributes) for one in parts]


def _needed(one: Statement, names: set[str], attributes: set[str]) -> list[Needs]:
    """Returns what a statement needs as far as it is used as far as is known."""
    if not _is_named(one, names):
        return []
    return [*one.needs, *(need for method, need in one.methods if _stays(method, attributes))]


def _used(one: Statement, names: set[str], attributes: set[str]) -> Statement:
    """Returns a statement with what is used of it."""
    if not _is_named(one, names):
        return one.without(lines_of(one.node))
    unused = [method for method, _ in one.methods if not _stays(method, attributes)]
    return one.without({line for method in unused for line in lines_of(method)}) if unused else one


def _is_named(one: Statement, names: set[str]) -> bool:
    return one.defines is None or not one.defines.isdisjoint(names)


def _stays(method: ast.FunctionDef, attributes: set[str]) -> bool:
    dunder = method.name.startswith("__") and method.name.endswith("__")
    return dunder or method.name in HOOKS or method.name in attributes


# ---- local names


def _without_locals(parts: Sequence[Statement]) -> list[Statement]:
    """Drops what is given a local name, or an attribute, that nobody asks for."""
    loaded = set().union(*(one.attributes for one in parts))
    return [_without_vain(one, loaded) for one in parts]


def _without_vain(one: Statement, loaded: set[str]) -> Statement:
    gone, lines = {*one.idle}, [*one.lines]
    for given in one.given:
        node = given.node
        kept = [pair for pair in given.pairs if not _in_vain(*pair, given, loaded)]
        if not kept:
            gone |= lines_of(node)
        elif len(kept) < len(given.pairs):
            gone |= lines_of(node) - {node.lineno}
            sides = (", ".join(ast.unparse(pair[i]) for pair in kept) for i in (0, 1))
            lines[node.lineno - 1] = " " * node.col_offset + " = ".join(sides)
    return statement((*(line for i, line in enumerate(lines, 1) if i not in gone),))


def _in_vain(target: ast.expr, value: ast.expr, given: Given, loaded: set[str]) -> bool:
    if isinstance(target, ast.Name):
        return target.id not in given.used and is_harmless(value)
    if isinstance(target, ast.Attribute):
        own = isinstance(target.value, ast.Name) and target.value.id == "self"
        return own and target.attr not in loaded and is_harmless(value)
    return False


def _without_aliases(parts: Sequence[Statement]) -> list[Statement]:
    """Calls a function of the file by its name where a local name stands for nothing else."""
    functions = {one.node.name for one in parts if isinstance(one.node, ast.FunctionDef)}
    return [_without_alias(one, functions) for one in parts]


def _without_alias(one: Statement, functions: set[str]) -> Statement:
    for function, name, value in one.aliases:
        if value in functions and name != value:
            lines = [*one.lines]
            _rename(lines, function, name, value)
            return statement((*lines,))
    return one


def _rename(lines: list[str], function: ast.FunctionDef, name: str, value: str) -> None:
    """Puts another name where one is asked for, from the last place on."""
    names = (n for n in below(function) if isinstance(n, ast.Name) and n.id == name)
    loads = [n for n in names if isinstance(n.ctx, ast.Load)]
    for node in sorted(loads, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        end = node.col_offset + len(name.encode())
        lines[node.lineno - 1] = (line[: node.col_offset] + value.encode() + line[end:]).decode()


# ---- heads of functions


@functools.lru_cache(maxsize=KNOWN)
def _with_joined_heads(one: Statement) -> Statement:
    """Puts heads that fit into one line, and empty literals together."""

    def joined(match: re.Match[str]) -> str:
        inner = " ".join(match[3].split()).rstrip(",")
        line = f"{match[1]}{match[2]}({inner}){match[4]}"
        return line if len(line) <= COLUMNS else match[0]

    head = r"(?m)^([ ]*)(def \w+)\(\n([^()]*?)\n[ ]*\)([^\n]*:)$"
    return statement((*re.sub(head, joined, one.data.decode()).split("\n"),))
