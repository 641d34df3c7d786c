"""An exported file run by itself, to see which of its objects are asked for what."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

from .example import D_MODEL, HEADS
from .module_text import ModuleText
from .observed import RECORDER, Marked, Recorder, noted_by, told_place

Area = tuple[int, int, int, int]
LENGTHS, LONG = (1, 2, 12, 70), 300
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
SIZES = ((16, 4, None), (8, 1, None), (16, 2, 1))  # of the model, its heads and those of keys
CONFIGURED = ("SPEC", "FRAME", "SOLVER", "WITHIN")
"""Names of objects that there is one of."""

COUNTER = itertools.count()


def area(node: Any) -> Area:
    """Returns from where to where a node goes."""
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def is_chain(node: ast.AST) -> bool:
    """Whether a node is a name with attributes, which asks for nothing and changes nothing."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


@dataclass
class Witness(Recorder):
    """Also notes which configured object stands before a dot or before brackets.

    Args:
        known: the configured objects by identity.
        receivers: where -> the identities of what stood there; None for anything else.
    """

    known: set[int] = field(default_factory=set)
    receivers: dict[Area, set[int | None]] = field(default_factory=lambda: defaultdict(set))

    def receive(self, place: Area, value: Any) -> Any:
        """Notes what something is, and returns it."""
        self.receivers[place].add(id(value) if id(value) in self.known else None)
        return value


class _Receivers(ast.NodeTransformer):
    """Puts the witness behind all that stands before a dot or brackets inside of functions."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [_Inside().visit(one) for one in node.body]
        return node


class _Inside(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(one) for one in node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.value = self.visit(node.value) if node.value is not None else None
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        loads = isinstance(node.ctx, ast.Load)
        node.value = self._noted(node.value) if loads else self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plain = isinstance(node.func, ast.Name) and node.func.id in ("super", "isinstance")
        seen = is_chain(node.func) and not plain
        node.func = self._noted(node.func) if seen else self.visit(node.func)
        node.args = [self.visit(one) for one in node.args]
        node.keywords = [self.visit(one) for one in node.keywords]
        return node

    def _noted(self, node: ast.expr) -> ast.expr:
        return noted_by(node, "receive", told_place(area(node), node), self.visit(node))


class FileFault(Exception):
    """A file that was written does not run, or fails its own test."""


class Rehearsal:
    """A file, what it defines, and what was seen when it ran.

    Args:
        text: the file.

    Raises:
        FileFault: it does not do what it is to do.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.source = ModuleText.of(text)
        self.witness = Witness()
        self.names = self._loaded(text)
        self.objects: dict[int, Any] = {}
        self.paths: dict[int, str] = {}
        for name, value in [*self.names.items()]:
            if name.isupper():
                self._reach(value, name)
        self.witness.known |= {*self.objects}
        self.alone = Counter(type(one) for one in self.objects.values())
        for i, path in self.paths.items():  # of others, more may be made while the layer runs
            self.alone[type(self.objects[i])] += not path.startswith(CONFIGURED)
        with _faults_of_files():
            rehearse(self.names)

    def _loaded(self, text: str) -> dict[str, Any]:
        tree = Marked("").visit(_Receivers().visit(ast.parse(text)))
        module = ModuleType(f"{__name__}_{next(COUNTER)}")
        vars(module)[RECORDER] = self.witness
        sys.modules[module.__name__] = module  # where dataclasses look for annotations
        try:
            with _faults_of_files():
                exec(compile(tree, "layer.py", "exec"), vars(module))
        finally:
            del sys.modules[module.__name__]
        return vars(module)

    def _reach(self, value: Any, path: str) -> None:
        if isinstance(value, tuple):
            for i, one in enumerate(value):
                self._reach(one, f"{path}[{i}]")
        elif type(value).__module__ == self.names["__name__"] and id(value) not in self.objects:
            if any(isinstance(one, torch.Tensor) for one in vars(value).values()):
                return
            self.objects[id(value)], self.paths[id(value)] = value, path
            for f in dataclasses.fields(value) if dataclasses.is_dataclass(value) else ():
                self._reach(getattr(value, f.name), f"{path}.{f.name}")

    def receiver(self, node: ast.AST) -> Any:
        """Returns the one configured object that a node always was, the only one of its class."""
        seen = self.witness.receivers.get(area(node), set())
        found = self.objects.get(next(iter(seen)) or 0) if len(seen) == 1 else None
        return found if found is not None and self.alone[type(found)] == 1 else None


@contextmanager
def _faults_of_files() -> Iterator[None]:
    """Tells what a file does wrong, which may be anything, from what is wrong here."""
    try:
        yield
    except Exception as fault:
        raise FileFault(f"{type(fault).__name__}: {fault}") from fault


def rehearse(names: dict[str, Any]) -> None:
    """Builds the layer of a file, or of the core, and runs it in every way it will be used."""
    layer_of = names["Layer"]
    for size in SIZES:
        layer_of(*size)
    layer = layer_of(D_MODEL, HEADS)
    for length in LENGTHS:
        for dtype in DTYPES:
            use(layer, length, dtype)
    use(layer, LONG, torch.float32)
    decode(layer)
    names["test"]()


def use(layer: Any, length: int, dtype: torch.dtype) -> None:
    """Runs a layer forward and, where it is not in half precision, backward."""
    layer.to(dtype)
    differentiable = dtype != torch.bfloat16
    x = torch.randn(2, length, D_MODEL, dtype=dtype, requires_grad=differentiable)
    y = layer(x)
    if differentiable:
        y.sum().backward()
    layer.to(torch.float32)


@torch.no_grad()
def decode(layer: Any) -> None:
    """Runs a layer over parts of a sequence and token by token."""
    x = torch.randn(1, 80, D_MODEL)
    _, state = layer.advance(x[:, :9], None)
    _, state = layer.step(x[:, 9], state)
    _, state = layer.step(x[:, 10], state)
    layer.advance(x[:, 11:], state)
