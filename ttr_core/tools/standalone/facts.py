"""What there is to know of a class of the copy: its fields, and what it is made from."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import sys
from collections.abc import Iterable
from typing import Any, Generic

from .module_text import text_of
from .observed import COPY
from .prune import is_plain

SIMPLE = (int, float, str, bool, type(None))


def ours(cls: type) -> list[type]:
    """Returns a class and those above it that stand in the core."""
    return [base for base in cls.__mro__ if base.__module__.startswith(COPY)]


def method_above(cls: type, base: type, method: str) -> tuple[type, ast.FunctionDef] | None:
    """Returns whose method `super` means; None where it stands outside of the core."""
    line = cls.__mro__
    for found in line[line.index(base) + 1 :]:
        if method in vars(found):
            if not found.__module__.startswith(COPY):
                return None
            node: Any = text_of(sys.modules[found.__module__]).defined[found.__name__]
            inner = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == method]
            return found, inner[0]
    return None


def outside(cls: type, inside: list[type]) -> list[str]:
    """Returns the names of the classes outside of the core that it is made from."""
    if hasattr(cls, "_fields"):
        return ["NamedTuple"]
    kept: list[type] = []
    for base in cls.__mro__:
        plain = base is object or base is Generic or base.__module__ in ("abc", "typing")
        if plain or base.__module__.startswith(COPY):
            continue
        if not any(issubclass(one, base) for one in (*kept, *inside)):
            kept.append(base)
    return [_full(base) for base in kept]


def _full(base: type) -> str:
    if base.__module__.startswith("torch.nn"):
        return f"nn.{base.__name__}"
    if base.__module__.startswith("torch"):
        return f"torch.autograd.{base.__name__}"
    return base.__name__


def decorator(cls: type) -> str | None:
    """Returns what makes a class a dataclass."""
    source = text_of(sys.modules[cls.__module__])
    node: Any = source.defined[cls.__name__]
    texts = [ast.unparse(d) for d in node.decorator_list]
    return next((f"@{text}" for text in texts if text.startswith("dataclass")), None)


def field_names(cls: type) -> tuple[str, ...]:
    """Returns the fields of a dataclass."""
    return tuple(f.name for f in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()


def assigned(node: ast.stmt) -> str | None:
    """Returns the name that a statement gives a value to."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.unparse(node.target)
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return ast.unparse(node.targets[0])
    return None


def of_parts(value: Any) -> bool:
    """Whether a setting is several ingredients."""
    return isinstance(value, tuple) and any(type(v).__module__.startswith(COPY) for v in value)


def shown(value: Any) -> str:
    """Returns a plain value as text, with double quotes."""
    if isinstance(value, tuple):
        inner = ", ".join(map(shown, value))
        return f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and math.isinf(value):
        return f'float("{value}")'
    return json.dumps(value) if isinstance(value, str) else repr(value)


def is_simple(value: Any) -> bool:
    """Whether a value is a number, a text, or a tuple of them."""
    each = value if isinstance(value, tuple) else (value,)
    return all(isinstance(v, SIMPLE) for v in each)


def annotation(text: str) -> str:
    """Returns the annotation of a field, which must have one."""
    return text if is_plain(ast.parse(text, mode="eval").body) else "object"


def settings_of(objects: Iterable[Any]) -> dict[type, list[dict[str, Any]]]:
    """Returns the settings of configured objects and of all within them, by class."""
    found: dict[type, list[dict[str, Any]]] = {}

    def collect(value: Any) -> None:
        if isinstance(value, tuple):
            for one in value:
                collect(one)
        elif dataclasses.is_dataclass(value) and type(value).__module__.startswith(COPY):
            own = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            found.setdefault(type(value), []).append(own)
            collect(tuple(own.values()))

    for one in objects:
        collect(one)
    return found
