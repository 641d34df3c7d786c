"""What a layer reaches of the core, as the definitions of one file."""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any

import torch

from .facts import of_parts, settings_of, shown
from .flat_class import Flat
from .free_names import names_loaded, renamed
from .module_text import ModuleText, text_of
from .observed import COPY, LOADED, Recorder
from .parsed import below
from .prune import Pruned, Replace, is_plain, nothing_else

Key = tuple[str, str]
"""A module of the copy, and a name in it."""


@dataclass
class Gathering:
    """Collects definitions, from a few on, and writes them in an order that can be read.

    Args:
        recorder: what ran.
        objects: configured objects, by the names that they have in the file.
        replaced: expressions as text -> what stands for them.
        known: conditions as text -> how they come out.
        called: definitions -> what they are called in the file.
    """

    recorder: Recorder
    objects: dict[str, Any]
    replaced: Mapping[str, str]
    known: Mapping[str, bool]
    called: dict[Key, str] = field(default_factory=dict)
    texts: dict[Key, str] = field(default_factory=dict)
    classes: dict[type, Flat] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    dotted: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    imports: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    waiting: list[tuple[ModuleType, str]] = field(default_factory=list)
    bound: dict[str, Key] = field(default_factory=dict)

    @cached_property
    def settings(self) -> dict[type, list[dict[str, Any]]]:
        """The settings of the configured objects, by class."""
        return settings_of(self.objects.values())

    def usual(self, cls: type) -> dict[str, Any]:
        """Returns the settings that the file gives a class by default."""
        return self.settings.get(cls, [{}])[0]

    @cached_property
    def ran(self) -> set[type | None]:
        """The classes of which anything ran."""
        return {owner for owners in self.recorder.entered.values() for owner in owners}

    @cached_property
    def unseen(self) -> set[type]:
        """The functions with a gradient that never ran: of them all that is named is taken."""
        every = {c for m in LOADED for c in vars(m).values() if isinstance(c, type)}
        mine = {c for c in every if c.__module__.startswith(COPY) and c not in self.ran}
        return {c for c in mine if issubclass(c, torch.autograd.Function)}

    # ---- names

    def take(self, module: ModuleType, name: str) -> str | None:
        """Takes a global name in; returns what it is called in the file, None for a builtin."""
        home, own = self._home(module, name)
        if home is None:
            return None
        key = (home.__name__, own)
        if key not in self.called:
            value = getattr(home, own, None)
            if isinstance(value, type):
                self.take_class(value)
            else:
                self.called[key] = self._free_name(key)
                self.waiting.append((home, own))
        return self.called[key]

    def take_class(self, cls: type) -> None:
        """Takes in a class of the copy, and later such of its methods as are used."""
        key = (cls.__module__, cls.__name__)
        if key not in self.called:
            self.called[key] = self._free_name(key)
        self.classes.setdefault(cls, Flat(cls, self))

    def name_of(self, cls: type) -> str:
        """Returns what a class is called in the file."""
        self.take_class(cls)
        return self.called[cls.__module__, cls.__name__]

    def _free_name(self, key: Key) -> str:
        module, name = key
        if self.bound.setdefault(name, key) == key:
            return name
        other = f"{name}_of_{module.rpartition('.')[2]}".lstrip("_")
        self.bound[other] = key
        return other

    def _home(self, module: ModuleType, name: str) -> tuple[ModuleType | None, str]:
        """Returns where a name is defined; notes an import from outside of the core."""
        source = text_of(module)
        if name in source.defined:
            return module, name
        found = source.imported.get(name)
        if found is None:
            return None, name
        if found.module.startswith(COPY):
            value = getattr(module, name)
            if isinstance(value, type | FunctionType) and value.__module__.startswith(COPY):
                return sys.modules[value.__module__], value.__name__
            return self._home(sys.modules[found.module], found.name)
        start = f"from {found.module} import" if found.module else "import"
        alias = "" if found.name.partition(".")[0] == name else f" as {name}"
        self.imports[name] = f"{start} {found.name}{alias}"
        return None, name

    def scan(self, module: ModuleType, text: str) -> str:
        """Takes in what a text names; returns it with names as they are called in the file."""
        tree = ast.parse(text)
        dots = [n for n in below(tree) if isinstance(n, ast.Attribute)]
        calls = [n for n in below(tree) if isinstance(n, ast.Call)]
        at_once = {id(n.func) for n in calls}
        self.attributes |= {n.attr for n in dots if isinstance(n.ctx, ast.Load)}
        self.dotted |= {ast.unparse(n) for n in dots}
        self.passed |= {n.attr for n in dots if id(n) not in at_once}
        others = {}
        for name in dict.fromkeys(names_loaded(tree)):
            called = self.take(module, name)
            if called not in (None, name):
                others[name] = str(called)
        return renamed(text, others) if others else text

    # ---- definitions

    def settle(self) -> None:
        """Takes in whatever is named, until nothing new is."""
        before = (-1, -1)
        while self.waiting or before != self._size():
            before = self._size()
            while self.waiting:
                self._define(*self.waiting.pop())
            for flat in [*self.classes.values()]:
                flat.settle()
            for value in self.objects.values():
                self.construct(value)

    def _size(self) -> tuple[int, int]:
        return len(self.called), len(self.attributes) + sum(map(len, self.classes.values()))

    def pruned(self, source: ModuleText, replace: Replace = nothing_else) -> Pruned:
        """Returns what writes the definitions of a module."""

        def said(node: ast.AST) -> str | None:
            whole = isinstance(node, ast.Call | ast.DictComp)
            text = self.replaced.get(ast.unparse(node)) if whole else None
            return replace(node) if text is None else text

        return Pruned(source, self.recorder, said, self.known)

    def _define(self, module: ModuleType, name: str) -> None:
        source = text_of(module)
        node, value = source.defined[name], getattr(module, name)
        if isinstance(value, dict) and any(isinstance(v, type) for v in value.values()):
            self.tables.append(self._table(name, value))
            return
        if dataclasses.is_dataclass(value) and type(value) in self.settings:
            text = f"{name} = {self.construct(value)}"
        elif isinstance(node, ast.AnnAssign) and not is_plain(node.annotation):
            assert node.value is not None
            text = f"{name} = {self.pruned(source).expression(node.value)}"
        else:
            text = self.pruned(source).text(node)
        self.texts[module.__name__, name] = self.scan(module, text)

    def _table(self, name: str, value: dict[str, Any]) -> str:
        """Returns a table of classes with those of them that ran."""
        used = {n: cls for n, cls in value.items() if cls in self.ran}
        rows = ", ".join(f"{shown(n)}: {self.name_of(cls)}" for n, cls in used.items())
        return f"{name} = {{{rows}}}"

    def construct(self, value: Any) -> str:
        """Returns the text that makes a configured object anew."""
        if isinstance(value, tuple):
            inner = ", ".join(map(self.construct, value))
            return f"({inner}{',' if len(value) == 1 else ''})"
        cls = type(value)
        if not cls.__module__.startswith(COPY):
            return shown(value)
        name = self.name_of(cls)
        if not dataclasses.is_dataclass(cls):
            return f"{name}()"
        own = {f.name: getattr(value, f.name) for f in dataclasses.fields(cls)}
        self.settings.setdefault(cls, [own])
        usual = self.usual(cls)
        told = {n: v for n, v in own.items() if v != usual[n] or of_parts(usual[n])}
        said = [f"{n}={self.construct(v)}" for n, v in told.items() if n in self.attributes]
        return f"{name}({', '.join(said)})"

    # ---- the file

    def written(self) -> list[str]:
        """Returns the definitions, each after what it is made from."""
        order = {module.__name__: rank for rank, module in enumerate(LOADED)}
        placed: list[tuple[int, int, str]] = []
        for (module, name), text in self.texts.items():
            called = self.called[module, name]
            text = text if called == name else renamed(text, {name: called})
            placed.append((order[module], self._line(module, name), text))
        for cls, flat in self.classes.items():
            line = self._line(cls.__module__, cls.__name__)
            placed.append((order[cls.__module__], line, flat.text()))
        return [text.strip("\n") for _, _, text in sorted(placed)]

    def _line(self, module: str, name: str) -> int:
        return text_of(sys.modules[module]).defined[name].lineno
