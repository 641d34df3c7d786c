"""Configured objects of an exported file as what they come to: functions and numbers.

A file holds one layer, so that of most classes of its ingredients there is one object. What is
asked of it is known: a setting is its value, a method is a function.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .facts import is_simple, shown
from .free_names import with_names
from .parsed import Cut
from .prune import Pruned
from .rehearsal import Rehearsal, area, is_chain
from .statements import Statements

MOST = 4
"""Numbers in a setting that is written out where it is asked for."""

ASKED = (["property"], ["cached_property"])
OF_TEST = ("test", "example", "close")
"""What stays as it is written: nothing of what a file checks is left out."""

BY_TORCH = ("Unit", "Taps", "DeltaChunks", "TokenReads")
"""Functions with a gradient by hand for speed, whose gradient torch finds as well."""


def dissolved(rehearsal: Rehearsal) -> Statements:
    """Returns a file with what single objects are asked for in place of the question."""
    source = rehearsal.source
    writer = _Writer(source, rehearsal.witness, rehearsal=rehearsal)
    parts: list[tuple[ast.stmt, str]] = []
    for node in source.tree.body:
        whole = source.data[slice(*source.block(node, node))].decode()
        defines = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name not in OF_TEST
        parts.append((node, writer.text(node) if defines else whole))
    written = writer.functions()
    made: list[str] = []
    for node, said in parts:
        if isinstance(node, ast.ClassDef):
            made += written.get(node.name, [])
            said = _without(said, writer.gone(node))
        made.append(said)
    return Statements.apart(made)


def _without(text: str, methods: set[str]) -> str:
    """Returns a class without some of its methods."""
    tree: Any = ast.parse(text).body[0]
    lines = text.split("\n")
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name in methods:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            del lines[first - 1 : node.end_lineno]
    kept = [n for n in tree.body if not _is_method(n, methods)]
    if not kept or (len(kept) == 1 and ast.get_docstring(tree) is not None):
        lines.append("    pass")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _is_method(node: ast.stmt, methods: set[str]) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name in methods


@dataclass
class _Writer(Pruned):
    """Writes definitions with the answers of single objects."""

    rehearsal: Rehearsal = field(kw_only=True)
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.taken = {n.id for n in self.source.nodes if isinstance(n, ast.Name)}
        self.taken |= {n.arg for n in self.source.nodes if isinstance(n, ast.arg)}
        self.taken |= {*self.source.defined}

    # ---- what stands for a question

    def _replacement(self, node: ast.expr) -> bytes | None:
        if isinstance(node, ast.Attribute) and node.attr == "apply":
            of = ast.unparse(node.value)
            if of in BY_TORCH:
                return self._function(of, "forward", "").encode()
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            asked = self.rehearsal.receiver(node.value) if is_chain(node.value) else None
            said = None if asked is None else self._answer(asked, node.attr)
            if said is not None:
                return said.encode()
        return super()._replacement(node)

    def _edits(self, node: ast.AST) -> list[Cut]:
        if isinstance(node, ast.Call):
            asked = self.rehearsal.receiver(node.func) if is_chain(node.func) else None
            if asked is not None and self._method(type(asked).__name__, "__call__"):
                name = self._function(type(asked).__name__, "__call__")
                cuts = [(*self.source.span(node.func), name.encode())]
                for one in (*node.args, *node.keywords):
                    cuts += self._child(one)
                return cuts
        return super()._edits(node)

    def _answer(self, asked: Any, attribute: str) -> str | None:
        cls = type(asked).__name__
        method = self._method(cls, attribute)
        if method is None:
            value = getattr(asked, attribute, self)
            return shown(value) if _is_short(value) else None
        decorators = [ast.unparse(d) for d in method.decorator_list]
        if decorators in ASKED:
            value = getattr(asked, attribute)
            if _is_short(value):
                return shown(value)
            return (
                None
                if id(value) in self.rehearsal.objects
                else self._function(cls, attribute) + "()"
            )
        return self._function(cls, attribute) if decorators in ([], ["staticmethod"]) else None

    def _method(self, cls: str, name: str) -> ast.FunctionDef | None:
        body = getattr(self.source.defined[cls], "body", [])
        found = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == name]
        return found[0] if found else None

    def _function(self, cls: str, method: str, called: str | None = None) -> str:
        """Returns the name of the function that a method becomes."""
        if (cls, method) not in self.names:
            base = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", cls).lower()
            own = base if method == "__call__" or called == "" else method.strip("_")
            plain = f"plain_{base}" if called == "" else own
            names = [own, plain, f"{base}_{own}", *(f"{base}_{own}_{i}" for i in range(2, 9))]
            free = next(name for name in names if name not in self.taken)
            self.taken.add(free)
            self.names[cls, method] = free
        return self.names[cls, method]

    # ---- functions

    def functions(self) -> dict[str, list[str]]:
        """Returns class -> the functions that its methods became."""
        made: dict[str, list[str]] = {}
        done: set[tuple[str, str]] = set()
        while ahead := [key for key in self.names if key not in done]:
            for cls, method in ahead:
                done.add((cls, method))
                made.setdefault(cls, []).append(self._as_function(cls, method))
        return made

    def _as_function(self, cls: str, method: str) -> str:
        node = self._method(cls, method)
        assert node is not None
        lines = self.text(node).split("\n")
        while lines[0].startswith("@"):
            lines.pop(0)
        text = "\n".join(lines).replace(f"def {method}(", f"def {self.names[cls, method]}(", 1)
        if "staticmethod" not in map(ast.unparse, node.decorator_list):
            text = re.sub(r"\bdef (\w+)\(\s*self\b,?\s*", r"def \1(", text, count=1)
        objects = self.rehearsal.objects.items()
        paths = {self.rehearsal.paths[i] for i, one in objects if type(one).__name__ == cls}
        return with_names(text, dict.fromkeys(["self"] * len(paths), next(iter(paths), "")))

    def gone(self, node: ast.ClassDef) -> set[str]:
        """Returns the methods that nobody asks for any more."""
        single = {type(one).__name__ for one in self.rehearsal.objects.values()
                  if self.rehearsal.alone[type(one)] == 1}  # fmt: skip
        if node.name not in single:
            return set()
        methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        return methods - self._shared(node.name)

    def _shared(self, cls: str) -> set[str]:
        """Returns what an object may be asked for where it is not the only one that is asked."""
        return {"__init__", *(asked for asked, of in self._asked if of is None or cls in of)}

    @cached_property
    def _asked(self) -> list[tuple[str, set[str] | None]]:
        """What is asked of more than one object, and of which classes; None of any."""
        asked: list[tuple[str, set[str] | None]] = []
        for node in self._that_ran(self.source.tree):
            attribute = node.attr if isinstance(node, ast.Attribute) else "__call__"
            before = node.value if isinstance(node, ast.Attribute) else None
            before = node.func if isinstance(node, ast.Call) else before
            stored = isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
            if (
                before is None
                or stored
                or (is_chain(before) and self.rehearsal.receiver(before) is not None)
            ):
                continue
            seen = self.rehearsal.witness.receivers.get(
                area(before), {None} if attribute == "__call__" else set()
            )
            names = {type(self.rehearsal.objects[i]).__name__ for i in seen if i is not None}
            asked.append((attribute, names if seen else None))
        return asked

    def _that_ran(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yields what stands below a node, without functions that never ran."""
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.FunctionDef) and not self._ran(inner):
                continue
            yield inner
            yield from self._that_ran(inner)

    def _ran(self, function: ast.FunctionDef) -> bool:
        return self.source.place(function) in self.recorder.entered

    # ---- annotations stay as they are

    def _bare(self, node: ast.AnnAssign) -> list[Cut]:
        return [] if node.value is None else self._child(node.value)

    def _signature(self, node: ast.FunctionDef) -> list[Cut]:
        return []


def _is_short(value: Any) -> bool:
    return is_simple(value) and (not isinstance(value, tuple) or len(value) <= MOST)
