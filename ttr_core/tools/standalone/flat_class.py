"""Classes of the copy as an exported file has them: flat, with what is used of them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from typing import Any

from .facts import (
    annotation,
    assigned,
    decorator,
    field_names,
    is_simple,
    method_above,
    of_parts,
    ours,
    outside,
    shown,
)
from .module_text import ModuleText, text_of
from .prune import short_docstring
from .statement import HOOKS

SKIPPED = {"__post_init__", "__init_subclass__", "__str__", "__repr__", "__class_getitem__"}
"""Methods that check and name settings, which an exported file has no more."""


class Flat:
    """A class as the file has it: methods of its own and of those above it, and its values.

    Args:
        cls: the class.
        reach: the `Gathering` that takes it in, and what it names.
    """

    def __init__(self, cls: type, reach: Any) -> None:
        self.cls, self.reach = cls, reach
        self.methods: dict[str, str] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self.values: dict[str, str] = {}
        self.fields: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.methods) + len(self.values) + len(self.fields)

    def settle(self) -> None:
        """Takes in what is used by now."""
        for base in ours(self.cls):
            source = text_of(sys.modules[base.__module__])
            for node in _body(base):
                if not isinstance(node, ast.FunctionDef) or node.name in self.methods:
                    continue
                if self._wanted(source, node):
                    self._take(base, source, node, node.name)
        self.fields = self._fields()
        self._values()

    # ---- methods

    def _wanted(self, source: ModuleText, node: ast.FunctionDef) -> bool:
        reach, cls = self.reach, self.cls
        if node.name in SKIPPED:
            return False
        dunder = node.name.startswith("__") and node.name.endswith("__")
        if not (dunder or node.name in reach.attributes or node.name in HOOKS):
            return False
        owners = reach.recorder.entered.get(source.place(node), set())
        handed_on = node.name in reach.passed and not node.decorator_list  # and never called
        return cls in owners or None in owners or handed_on or cls in reach.unseen

    def _take(self, base: type, source: ModuleText, node: ast.FunctionDef, name: str) -> None:
        """Takes in a method; what it calls of those above it, too."""
        above: list[tuple[str, type, ast.FunctionDef]] = []

        def calls_above(inner: ast.AST) -> str | None:
            if not (isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "super()"):
                return None
            found = method_above(self.cls, base, inner.attr)
            if found is None:
                return None
            called = f"_{inner.attr.strip('_')}_of_{found[0].__name__.lower()}"
            above.append((called, *found))
            return f"self.{called}"

        text = self.reach.pruned(source, calls_above).text(node)
        if name != node.name:
            text = text.replace(f"def {node.name}(", f"def {name}(", 1)
        self.places[name] = (self.cls.__mro__.index(base), node.lineno)
        self.methods[name] = ""  # so that it does not come again
        self.methods[name] = self.reach.scan(source.module, text)
        for called, owner, method in above:
            if called not in self.methods:
                self._take(owner, text_of(sys.modules[owner.__module__]), method, called)

    # ---- values

    def _values(self) -> None:
        """Takes in the values that the class has where they are used."""
        for base in ours(self.cls):
            source = text_of(sys.modules[base.__module__])
            for node in _body(base):
                name = assigned(node)
                if name is None or name in self.values or name in self.methods:
                    continue
                used = name in self.reach.attributes or name in HOOKS
                if name == "name":
                    used = self._asks_its_name()
                if used and name not in field_names(self.cls):
                    self.values[name] = self._value(name, source, node)

    def _asks_its_name(self) -> bool:
        if f"{self.cls.__name__}.name" in self.reach.dotted:
            return True
        return any("self.name" in text for text in self.methods.values())

    def _value(self, name: str, source: ModuleText, node: Any) -> str:
        value = inspect.getattr_static(self.cls, name)
        if is_simple(value):
            return f"{name} = {shown(value)}"
        text = f"{name} = {self.reach.pruned(source).expression(node.value)}"
        return str(self.reach.scan(source.module, text))

    def _fields(self) -> dict[str, str]:
        cls, reach = self.cls, self.reach
        if hasattr(cls, "_fields"):
            return self._tuple_fields()
        if not dataclasses.is_dataclass(cls):
            return {}
        found = {}
        for f in dataclasses.fields(cls):
            setting = "declared" in f.metadata or cls in reach.settings
            if setting and f.name not in reach.attributes:
                continue
            text = f"{f.name}: {annotation(str(f.type))}"
            if setting:
                usual = reach.usual(cls).get(f.name, f.default)
                if not of_parts(usual):  # which may stand further down
                    text += f" = {reach.construct(usual)}"
            elif (default := self._default(f.name)) is not None:
                text += f" = {default}"
            found[f.name] = text
        return found

    def _default(self, name: str) -> str | None:
        """Returns the text of a field's default, taking in what it names; None without one."""
        for base in ours(self.cls):
            source = text_of(sys.modules[base.__module__])
            for node in _body(base):
                if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
                    if node.value is None:
                        return None
                    text = self.reach.pruned(source).expression(node.value)
                    return str(self.reach.scan(source.module, text))
        return None

    def _tuple_fields(self) -> dict[str, str]:
        cls: Any = self.cls
        defaults = cls._field_defaults
        return {
            n: f"{n}: {annotation(str(t))}" + (f" = {defaults[n]!r}" if n in defaults else "")
            for n, t in cls.__annotations__.items()
        }

    # ---- as it is written

    def text(self) -> str:
        """Returns the class."""
        reach, cls = self.reach, self.cls
        inside = [base for base in cls.__mro__[1:] if base in reach.classes]
        bases = [*outside(cls, inside), *map(reach.name_of, inside)]
        head = f"class {reach.name_of(cls)}" + (f"({', '.join(bases)})" if bases else "")
        order = sorted(self.methods, key=self.places.__getitem__)
        body = [_docstring(cls), "\n".join(self.values.values()), "\n".join(self.fields.values())]
        body += [self.methods[name].strip("\n") for name in order]
        text = "\n\n".join(textwrap.indent(part, "    ") for part in body if part)
        decorated = next((found for base in ours(cls) if (found := decorator(base))), None)
        if decorated and self.fields:
            reach.imports["dataclass"] = "from dataclasses import dataclass"
            head = f"{decorated}\n{head}"
        return f"{head}:\n{text or '    pass'}"


def _body(cls: type) -> list[ast.stmt]:
    node = text_of(sys.modules[cls.__module__]).defined[cls.__name__]
    assert isinstance(node, ast.ClassDef)
    return node.body


def _docstring(cls: type) -> str:
    """Returns it without what it says of settings, which are numbers by now."""
    source, first = text_of(sys.modules[cls.__module__]), _body(cls)[0]
    text = source.data[slice(*source.span(first))].decode()
    if not text.lstrip("r").startswith('"""'):
        return ""
    said = short_docstring(text, first.col_offset)
    said = re.sub(r"\n[ ]*\n[ ]*Args:\n(?:[ ]{8,}.*\n?|\n(?=[ ]{8}))*", "\n", said)
    said = re.sub(r'\A(.*)\n[ ]*"""\Z', r'\1"""', said)
    return textwrap.dedent(" " * first.col_offset + said)
