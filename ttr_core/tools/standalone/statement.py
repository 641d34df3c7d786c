"""A statement of a file, which is read once however often the file around it changes.

A written file is made shorter in many small steps, and a step changes a few statements of a
hundred. What is asked about the others is known from the step before.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .free_names import names_loaded
from .parsed import below

HOOKS = {"forward", "backward", "setup_context", "generate_vmap_rule"}
"""What torch asks of a class by name."""

KNOWN = 1024
"""Statements that are kept: those of some ten files."""


def lines_of(node: Any) -> set[int]:
    """Returns the lines of a statement, its decorators included, counted from 1."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return set(range(first, node.end_lineno + 1))


def asked_of(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Returns the attributes that nodes ask of objects."""
    dots = (n for n in nodes if isinstance(n, ast.Attribute))
    return frozenset(n.attr for n in dots if isinstance(n.ctx, ast.Load))


@dataclass(frozen=True)
class Needs:
    """What a node takes from outside of itself.

    Args:
        names: globals.
        attributes: what it asks of objects.
    """

    names: frozenset[str]
    attributes: frozenset[str]

    @classmethod
    def of(cls, node: ast.AST) -> Needs:
        """Returns what a node needs."""
        return cls(frozenset(names_loaded(node)), asked_of(below(node)))


@dataclass(frozen=True)
class Given:
    """An assignment to one target in a function.

    Args:
        node: it.
        pairs: what is given a value, with the value; one by one where both are written so.
        used: the names that the function asks for.
    """

    node: ast.Assign
    pairs: tuple[tuple[ast.expr, ast.expr], ...]
    used: frozenset[str]


class Statement:
    """A statement of a file with the lines before it, or lines that hold none.

    Args:
        lines: them all.
    """

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines
        text = "\n".join(lines)
        body: list[Any] = [*ast.parse(text).body]
        (self.node,) = body or [None]
        self.nodes: list[Any] = [*below(self.node)] if body else []
        for node in self.nodes:
            if hasattr(node, "lineno"):
                node.statement = self  # which `Statements` asks a node for
        self.data = text.encode()
        self.starts = [0, *itertools.accumulate(len(line.encode()) + 1 for line in lines)]

    def without(self, gone: set[int]) -> Statement:
        """Returns a statement without some lines, counted from 1."""
        return statement((*(line for i, line in enumerate(self.lines, 1) if i not in gone),))

    # ---- what it needs

    @cached_property
    def defines(self) -> frozenset[str] | None:
        """The names that it gives a meaning to; None where it is there for its own sake."""
        node = self.node
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            return frozenset([node.name])
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            leaves = (leaf for target in targets for leaf in below(target))
            return frozenset(leaf.id for leaf in leaves if isinstance(leaf, ast.Name))
        if isinstance(node, ast.Import | ast.ImportFrom):
            return frozenset(a.asname or a.name.partition(".")[0] for a in node.names)
        return None

    @cached_property
    def needs(self) -> list[Needs]:
        """What it needs wherever it stays: all but what the methods of a class need."""
        node = self.node
        if not isinstance(node, ast.ClassDef):
            return [] if node is None else [Needs.of(node)]
        fields = (n for n in node.body if not isinstance(n, ast.FunctionDef))
        return [Needs.of(one) for one in (*node.bases, *node.decorator_list, *fields)]

    @cached_property
    def methods(self) -> list[tuple[ast.FunctionDef, Needs]]:
        """The methods of a class with what they need."""
        body = self.node.body if isinstance(self.node, ast.ClassDef) else ()
        return [(n, Needs.of(n)) for n in body if isinstance(n, ast.FunctionDef)]

    @cached_property
    def attributes(self) -> frozenset[str]:
        """What it asks of objects."""
        return asked_of(self.nodes)

    # ---- what its functions do

    @cached_property
    def functions(self) -> list[ast.FunctionDef]:
        """The functions in it, those within classes and functions included."""
        return [node for node in self.nodes if isinstance(node, ast.FunctionDef)]

    @cached_property
    def given(self) -> list[Given]:
        """The assignments in its functions."""
        return [one for function in self.functions for one in _given(function)]

    @cached_property
    def idle(self) -> set[int]:
        """The lines of those statements in its functions that do nothing."""
        nodes = (node for function in self.functions for node in below(function))
        return {line for node in nodes if _does_nothing(node) for line in lines_of(node)}

    @cached_property
    def aliases(self) -> list[tuple[ast.FunctionDef, str, str]]:
        """Where a name in a function is given once, and is then another name."""
        return [(one, *pair) for one in self.functions for pair in _aliases(one)]


statement = functools.lru_cache(maxsize=KNOWN)(Statement)
"""The statement of these lines, the same one for as long as it is remembered."""


def _given(function: ast.FunctionDef) -> Iterator[Given]:
    nodes = below(function)
    names = (n for n in nodes if isinstance(n, ast.Name))
    used = frozenset(n.id for n in names if isinstance(n.ctx, ast.Load))
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            yield Given(node, _pairs(node.targets[0], node.value), used)


def _pairs(target: ast.expr, value: ast.expr) -> tuple[tuple[ast.expr, ast.expr], ...]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        stars = any(isinstance(n, ast.Starred) for n in (*target.elts, *value.elts))
        if not stars and len(target.elts) == len(value.elts):
            return (*zip(target.elts, value.elts, strict=True),)
    return ((target, value),)


def _does_nothing(node: ast.AST) -> bool:
    """Whether a statement gives a name to itself, or is a question with no answer."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        return type(target) is type(value) and ast.unparse(target) == ast.unparse(value)
    bare = isinstance(node, ast.If) and not node.orelse and is_harmless(node.test)
    return bare and all(isinstance(one, ast.Pass) for one in getattr(node, "body", ()))


def is_harmless(value: ast.expr) -> bool:
    """Whether a value is made by no call."""
    return not any(isinstance(n, ast.Call | ast.Await | ast.Yield) for n in below(value))


def _aliases(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    nodes = below(function)
    names = (n for n in nodes if isinstance(n, ast.Name))
    stored = Counter(n.id for n in names if isinstance(n.ctx, ast.Store))
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            target = node.targets[0]
            if isinstance(target, ast.Name) and stored[target.id] == 1:
                yield target.id, node.value.id
