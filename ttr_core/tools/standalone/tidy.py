"""A written file without what nothing in it uses, in lines that are short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .free_names import names_loaded

COLUMNS = 100
HOOKS = {"forward", "backward", "setup_context", "generate_vmap_rule"}
"""What torch asks of a class by name."""

Function = ast.FunctionDef


def tidied(text: str, roots: Iterable[str], offered: Iterable[str]) -> str:
    """Returns a file without what is not used.

    Args:
        text: the file.
        roots: definitions that are kept.
        offered: methods that are kept.
    """
    roots, offered = [*roots], {*offered}
    while True:
        found = _without_aliases(_without_locals(text))
        found = _without_definitions(found, roots, offered)
        if found == text:
            return _joined_heads(text)
        text = found


def _cut(text: str, lines: set[int]) -> str:
    """Returns a text without lines, counted from 1."""
    kept = [line for i, line in enumerate(text.split("\n"), 1) if i not in lines]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept))


def _lines(node: Any) -> set[int]:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return set(range(first, node.end_lineno + 1))


# ---- definitions


def _without_definitions(text: str, roots: Iterable[str], offered: set[str]) -> str:
    tree = ast.parse(text)
    names, attributes = {*roots}, {*offered}
    while True:
        before = len(names), len(attributes)
        for node in _kept(tree, names, attributes):
            names |= set(names_loaded(node))
            attributes |= _attributes(node)
        if (len(names), len(attributes)) == before:
            break
    gone: set[int] = set()
    for node in tree.body:
        if not _is_named(node, names):
            gone |= _lines(node)
        elif isinstance(node, ast.ClassDef):
            gone |= _unused_members(node, attributes)
    return _cut(text, gone)


def _kept(tree: ast.Module, names: set[str], attributes: set[str]) -> Iterator[ast.AST]:
    """Yields what of a file is used as far as is known."""
    for node in tree.body:
        if not _is_named(node, names):
            continue
        if not isinstance(node, ast.ClassDef):
            yield node
            continue
        yield from (*node.bases, *node.decorator_list)
        for inner in node.body:
            if not isinstance(inner, Function) or _stays(inner, attributes):
                yield inner


def _is_named(node: ast.stmt, names: set[str]) -> bool:
    if isinstance(node, ast.ClassDef | Function):
        return node.name in names
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        leaves = [leaf for target in targets for leaf in ast.walk(target)]
        return any(isinstance(leaf, ast.Name) and leaf.id in names for leaf in leaves)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((a.asname or a.name.partition(".")[0]) in names for a in node.names)
    return True


def _stays(method: ast.FunctionDef, attributes: set[str]) -> bool:
    dunder = method.name.startswith("__") and method.name.endswith("__")
    return dunder or method.name in HOOKS or method.name in attributes


def _unused_members(node: ast.ClassDef, attributes: set[str]) -> set[int]:
    gone: set[int] = set()
    unused = [n for n in node.body if isinstance(n, Function) and not _stays(n, attributes)]
    for method in unused:
        gone |= _lines(method)
    return gone


def _attributes(node: ast.AST) -> set[str]:
    dots = (n for n in ast.walk(node) if isinstance(n, ast.Attribute))
    return {n.attr for n in dots if isinstance(n.ctx, ast.Load)}


# ---- local names


def _without_locals(text: str) -> str:
    """Drops what is given a local name, or an attribute, that nobody asks for."""
    tree = ast.parse(text)
    loaded = _attributes(tree)
    gone: set[int] = set()
    shorter: dict[int, str] = {}
    for function in ast.walk(tree):
        if not isinstance(function, Function):
            continue
        names = (n for n in ast.walk(function) if isinstance(n, ast.Name))
        used = {n.id for n in names if isinstance(n.ctx, ast.Load)}
        for node in ast.walk(function):
            gone |= _lines(node) if _does_nothing(node) else set()
            if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
                continue
            kept = [one for one in _pairs(node) if not _in_vain(*one, used, loaded)]
            if not kept:
                gone |= _lines(node)
            elif len(kept) < len(_pairs(node)):
                gone |= _lines(node) - {node.lineno}
                sides = (", ".join(ast.unparse(one[i]) for one in kept) for i in (0, 1))
                shorter[node.lineno] = " " * node.col_offset + " = ".join(sides)
    lines = text.split("\n")
    for number, line in shorter.items():
        lines[number - 1] = line
    return _cut("\n".join(lines), gone)


def _does_nothing(node: ast.AST) -> bool:
    """Whether a statement gives a name to itself, or is a question with no answer."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return ast.unparse(node.targets[0]) == ast.unparse(node.value)
    bare = isinstance(node, ast.If) and not node.orelse and _harmless(node.test)
    return bare and all(isinstance(one, ast.Pass) for one in getattr(node, "body", ()))


def _without_aliases(text: str) -> str:
    """Calls a function of the file by its name where a local name stands for nothing else."""
    tree = ast.parse(text)
    functions = {n.name for n in tree.body if isinstance(n, Function)}
    lines = text.split("\n")
    for function in ast.walk(tree):
        if not isinstance(function, Function):
            continue
        stored: dict[str, list[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                stored.setdefault(node.id, []).append("")
        given = [n for n in ast.walk(function) if isinstance(n, ast.Assign)]
        for node in given:
            name, value = ast.unparse(node.targets[0]), ast.unparse(node.value)
            if value in functions and len(stored.get(name, ())) == 1 and name != value:
                _rename(lines, function, name, value)
                return "\n".join(lines)
    return text


def _rename(lines: list[str], function: ast.FunctionDef, name: str, value: str) -> None:
    """Puts another name where one is asked for, from the last place on."""
    names = (n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name)
    loads = [n for n in names if isinstance(n.ctx, ast.Load)]
    for node in sorted(loads, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        end = node.col_offset + len(name.encode())
        lines[node.lineno - 1] = (line[: node.col_offset] + value.encode() + line[end:]).decode()


def _pairs(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    """Returns what is given a value, with the value; one by one where both are written so."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        stars = any(isinstance(n, ast.Starred) for n in (*target.elts, *value.elts))
        if not stars and len(target.elts) == len(value.elts):
            return [*zip(target.elts, value.elts, strict=True)]
    return [(target, value)]


def _in_vain(target: ast.expr, value: ast.expr, used: set[str], loaded: set[str]) -> bool:
    return _harmless(value) and _unread(target, used, loaded)


def _unread(target: ast.expr, used: set[str], loaded: set[str]) -> bool:
    if isinstance(target, ast.Name):
        return target.id not in used
    if isinstance(target, ast.Attribute):
        return ast.unparse(target.value) == "self" and target.attr not in loaded
    return False


def _harmless(value: ast.expr) -> bool:
    """Whether a value is made by no call."""
    return not any(isinstance(n, ast.Call | ast.Await | ast.Yield) for n in ast.walk(value))


# ---- heads of functions


def _joined_heads(text: str) -> str:
    """Puts heads that fit into one line, and empty literals together."""

    def joined(match: re.Match[str]) -> str:
        inner = " ".join(match[3].split()).rstrip(",")
        line = f"{match[1]}{match[2]}({inner}){match[4]}"
        return line if len(line) <= COLUMNS else match[0]

    return re.sub(r"(?m)^([ ]*)(def \w+)\(\n([^()]*?)\n[ ]*\)([^\n]*:)$", joined, text)
