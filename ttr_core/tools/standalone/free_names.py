"""Which names a text takes from outside of itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from .parsed import below


def names_loaded(tree: ast.AST) -> Iterator[str]:
    """Yields the names that a text takes from outside of its functions."""
    yield from _free(tree, frozenset())


def _free(node: ast.AST, known: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        inner = known | _bound(node)
        outside = [*getattr(node, "decorator_list", ())]
        arguments = node.args
        outside += [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
        for one in outside:
            yield from _free(one, known)
        body = node.body if isinstance(node.body, list) else [node.body]
        for one in body:
            yield from _free(one, inner)
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        bound = {
            leaf.id
            for clause in node.generators
            for leaf in below(clause.target)
            if isinstance(leaf, ast.Name)
        }
        for child in ast.iter_child_nodes(node):
            yield from _free(child, known | bound)
        return
    if isinstance(node, ast.AnnAssign):
        for part in (node.target, node.value):
            if part is not None:
                yield from _free(part, known)
        return
    if isinstance(node, ast.Name) and node.id not in known:
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _free(child, known)


def _bound(function: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    bound = {a.arg for a in every}
    if isinstance(function, ast.FunctionDef):
        for statement in function.body:
            bound |= set(_stored(statement))
    return frozenset(bound)


def _stored(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        for child in below(node):
            if isinstance(child, ast.NamedExpr):
                yield child.target.id
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _stored(child)


def with_names(text: str, calls: Mapping[str, str]) -> str:
    """Returns a text with other names, or with what stands for them."""
    lines = text.split("\n")
    places = [n for n in below(ast.parse(text)) if isinstance(n, ast.Name) and n.id in calls]
    for node in sorted(places, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        end = node.col_offset + len(node.id.encode())
        new = line[: node.col_offset] + calls[node.id].encode() + line[end:]
        lines[node.lineno - 1] = new.decode()
    return "\n".join(lines)


def renamed(text: str, calls: Mapping[str, str]) -> str:
    """Returns a text with other names, also of the function that it defines."""
    first: Any = ast.parse(text).body[0]
    lines = with_names(text, calls).split("\n")
    if isinstance(first, ast.FunctionDef) and first.name in calls:
        at = first.lineno - 1
        lines[at] = lines[at].replace(f"def {first.name}(", f"def {calls[first.name]}(", 1)
    return "\n".join(lines)
