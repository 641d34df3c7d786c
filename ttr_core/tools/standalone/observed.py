"""A second copy of the core that tells which of its functions ran, and how its tests came out.

What a layer never reaches need not be exported. Which it is, no reading of the code tells: it
depends on the ingredients. So the core is loaded once more under a name of its own, with a
recorder behind every function and every condition, and the layer is run there.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from torch import Tensor

CORE = Path(__file__).parents[2]
COPY = f"{__name__.partition('.')[0]}.observed"  # below the core: its choices count as ours
BARE = (COPY, f"{COPY}.tools", f"{COPY}.tools.standalone")
RECORDER = "__seen__"
LOCK = threading.RLock()

Span = tuple[str, int, int, int, int]
"""A module below the core, and from which line and column to which a text goes."""


@dataclass
class Recorder:
    """What ran since it was emptied.

    Args:
        entered: where a function stands -> the classes that it ran for; None for no class.
        outcomes: where a condition stands -> what it was, and of which kind.
    """

    entered: dict[Span, set[type | None]] = field(default_factory=lambda: defaultdict(set))
    outcomes: dict[Span, set[tuple[bool | None, str]]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def enter(self, place: Span, owner: type | None) -> None:
        """Notes that a function runs."""
        self.entered[place].add(owner)

    def test(self, place: Span, value: Any) -> Any:
        """Notes what a condition is, and returns it; of a tensor nothing is asked."""
        kind = type(value).__name__
        truth = None if isinstance(value, Tensor) else bool(value)
        self.outcomes[place].add((truth, kind))
        return value

    def empty(self) -> None:
        """Forgets what ran, and what was kept from earlier calls."""
        self.entered.clear()
        self.outcomes.clear()
        for module in LOADED:
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


RECORDED = Recorder()
LOADED: list[ModuleType] = []
"""The modules of the copy in the order in which they were complete: each after what it needs."""


def place_of(module: str, node: ast.expr | ast.stmt) -> Span:
    """Returns where something stands."""
    end, last = node.end_lineno or 0, node.end_col_offset or 0
    return module, node.lineno, node.col_offset, end, last


def told_place(place: Any, at: ast.AST) -> ast.Constant:
    """Returns the constant, a tuple, that tells the recorder where a node stands."""
    return ast.copy_location(ast.Constant(place), at)


def noted_by(at: ast.AST, method: str, *arguments: ast.expr) -> ast.Call:
    """Returns a call of the recorder that stands where a node does."""
    recorder = ast.copy_location(ast.Name(RECORDER, ast.Load()), at)
    asked = ast.copy_location(ast.Attribute(recorder, method, ast.Load()), at)
    return ast.copy_location(ast.Call(asked, [*arguments], []), at)


def _owner(at: ast.FunctionDef) -> ast.expr:
    """Returns what says for which class a method runs, by its first argument."""
    first = at.args.args[0].arg if at.args.args else ""
    if first not in ("self", "cls"):
        return ast.copy_location(ast.Constant(None), at)
    own = ast.copy_location(ast.Name(first, ast.Load()), at)
    asked = ast.copy_location(ast.Name("type", ast.Load()), at)
    return own if first == "cls" else ast.copy_location(ast.Call(asked, [own], []), at)


class Marked(ast.NodeTransformer):
    """Puts the recorder behind every function and every condition."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.within: list[ast.AST] = []

    def _tested(self, test: ast.expr, value: ast.expr) -> ast.Call:
        return noted_by(test, "test", self._place(test), value)

    def _place(self, node: ast.expr | ast.stmt) -> ast.expr:
        return told_place(place_of(self.module, node), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.within.append(node)
        self.generic_visit(node)
        self.within.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        method = bool(self.within) and isinstance(self.within[-1], ast.ClassDef)
        self.within.append(node)
        self.generic_visit(node)
        self.within.pop()
        nobody = ast.copy_location(ast.Constant(None), node)
        owner = _owner(node) if method else nobody
        enter = noted_by(node, "enter", self._place(node), owner)
        docstring = ast.get_docstring(node, clean=False) is not None
        node.body.insert(int(docstring), ast.copy_location(ast.Expr(enter), node))
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        test = node.test
        self.generic_visit(node)
        node.test = self._tested(test, node.test)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test = node.test
        self.generic_visit(node)
        node.test = self._tested(test, node.test)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        first = list(node.values)
        self.generic_visit(node)
        node.values[:-1] = map(self._tested, first[:-1], node.values[:-1])
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        first = list(node.ifs)
        self.generic_visit(node)
        node.ifs = [*map(self._tested, first, node.ifs)]
        return node


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the core with the recorder in it; nothing is kept on disk."""

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(Path(self.path).read_bytes())
        short = fullname.removeprefix(COPY).lstrip(".")
        code: CodeType = compile(Marked(short).visit(tree), self.path, "exec")
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[RECORDER] = RECORDED
        super().exec_module(module)
        LOADED.append(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what lies below the copy where it lies in the core."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != COPY and not fullname.startswith(f"{COPY}."):
            return None
        place = CORE.joinpath(*fullname.removeprefix(COPY).strip(".").split("."))
        if place.is_dir():
            file, folders = place / "__init__.py", [str(place)]
            if fullname in BARE:  # whose surface would load all that there is
                found = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
                found.submodule_search_locations = folders
                return found
            loader = _Loader(fullname, str(file))
            return importlib.util.spec_from_file_location(
                fullname, file, loader=loader, submodule_search_locations=folders
            )
        file = place.with_suffix(".py")
        if not file.exists():
            return None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_Loader(fullname, str(file))
        )


FINDER = _Finder()


def observed(module: str) -> ModuleType:
    """Returns a module of the copy, by its name below the core."""
    with LOCK:
        if FINDER not in sys.meta_path:
            sys.meta_path.insert(0, FINDER)
        return importlib.import_module(f"{COPY}.{module}")


@contextmanager
def watching() -> Iterator[Recorder]:
    """Records what the copy does; one at a time."""
    with LOCK:
        RECORDED.empty()
        yield RECORDED
