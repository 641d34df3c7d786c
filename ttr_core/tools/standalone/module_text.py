"""The text of a module of the core, with the places of what it defines."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from .observed import COPY, Span, place_of
from .parsed import below, parsed

MARKS = re.compile(rb"[ ]*# (type: ignore|noqa|fmt:)[^\n]*")
"""Comments that speak to tools."""


@dataclass(frozen=True)
class ForeignName:
    """A name that a module takes from elsewhere.

    Args:
        module: from where; empty for a module itself.
        name: what it is called there.
    """

    module: str
    name: str


class ModuleText:
    """A module of the copy as text.

    Args:
        module: it, loaded.
        data: its text.
    """

    def __init__(self, module: ModuleType, data: bytes) -> None:
        self.module = module
        self.name = module.__name__.removeprefix(f"{COPY}.")
        self.data = data
        self.tree = parsed(data.decode())
        self.lines = self.data.splitlines(keepends=True)
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line))
        self.starts = starts
        self.defined: dict[str, ast.stmt] = {}
        self.imported: dict[str, ForeignName] = {}
        for node in self.tree.body:
            self._index(node)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of its tree."""
        return below(self.tree)

    @classmethod
    def of(cls, text: str) -> ModuleText:
        """Returns a file that no module is loaded from."""
        return cls(ModuleType(""), text.encode())

    def _index(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            self.defined[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for leaf in below(target):
                    if isinstance(leaf, ast.Name):
                        self.defined[leaf.id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self.defined[node.target.id] = node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                known = alias.asname or alias.name.partition(".")[0]
                self.imported[known] = ForeignName("", alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = str(self.module.__package__).split(".")
                above = package[: len(package) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                self.imported[alias.asname or alias.name] = ForeignName(base, alias.name)
        elif isinstance(node, ast.If):  # TYPE_CHECKING
            return

    def place(self, node: ast.expr | ast.stmt) -> Span:
        """Returns where something stands, as the recorder knows it."""
        return place_of(self.name, node)

    def span(self, node: Any) -> tuple[int, int]:
        """Returns where the text of a node begins and ends, its decorators included."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        start = self.starts[node.lineno - 1] + node.col_offset
        if first < node.lineno:
            start = self.starts[first - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def block(self, first: Any, last: Any) -> tuple[int, int]:
        """Returns the lines from one statement to another, comments right before them included."""
        top = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))]) - 1
        while top and self.lines[top - 1].lstrip().startswith(b"#"):
            top -= 1
        return self.starts[top], self.starts[last.end_lineno]


@functools.cache
def text_of(module: ModuleType) -> ModuleText:
    """Returns the text of a module of the copy."""
    return ModuleText(module, Path(str(module.__file__)).read_bytes())
