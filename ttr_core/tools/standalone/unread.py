"""Arguments that no function of a file reads, and functions that are one expression."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .brackets import arguments_of, called_with, defined_with, meets, text_of_node
from .free_names import names_loaded, with_names
from .parsed import Cut, below, dotted
from .statement import HOOKS
from .statements import Statements

COMMON = {name for kind in (torch.Tensor, nn.Module, dict, list, str, tuple) for name in dir(kind)}
"""Methods that other objects have, too."""

PURE = (ast.Name, ast.Attribute, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple, ast.Dict,
        ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.expr_context)  # fmt: skip
ATOMS = (ast.Name, ast.Constant, ast.Attribute, ast.Subscript)
TIGHT = (ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Call, ast.Tuple, ast.Dict)
SPECS = ("spec", "SPEC", "self.spec")
"""What stands for the one spec of a file."""

SHORT, LONG = 40, 72
"""Letters of an expression that stands for calls of it, and for the only call of it."""


@dataclass(frozen=True)
class CalledFunction:
    """A function or method, and every call of it.

    Args:
        node: its definition.
        calls: them all.
        skipped: how many arguments a call does not name: 1 for a method's own object.
    """

    node: ast.FunctionDef
    calls: tuple[ast.Call, ...]
    skipped: int


def called_functions(source: Statements, kept: set[str]) -> Iterator[CalledFunction]:
    """Yields the functions of a file that are only ever called, by their name."""
    calls: dict[tuple[bool, str], list[ast.Call]] = {}
    loads: Counter[tuple[bool, str]] = Counter()
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            calls.setdefault(_name(node.func), []).append(node)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            loads[_name(node)] += 1
    for function, key, skipped in _definitions(source):
        found, name = calls.get(key, []), key[1]
        stars = any(isinstance(a, ast.Starred) for c in found for a in c.args)
        stars |= any(k.arg is None for c in found for k in c.keywords)
        only = len(found) == loads[key] and found and not stars
        if only and name not in kept and name not in HOOKS and not function.args.vararg:
            yield CalledFunction(function, tuple(found), skipped)


def _name(node: ast.expr) -> tuple[bool, str]:
    """Returns a name, and whether it stands after a dot."""
    return (False, node.id) if isinstance(node, ast.Name) else (True, getattr(node, "attr", ""))


def _definitions(
    source: Statements,
) -> Iterator[tuple[ast.FunctionDef, tuple[bool, str], int]]:
    defined = [n.name for n in source.nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    parents = {ast.unparse(b) for n in source.body if isinstance(n, ast.ClassDef) for b in n.bases}
    for node in source.body:
        if isinstance(node, ast.FunctionDef) and defined.count(node.name) == 1:
            yield node, (False, node.name), 0
        if not isinstance(node, ast.ClassDef):
            continue
        for inner in node.body:
            if not isinstance(inner, ast.FunctionDef):
                continue
            if inner.name == "__init__" and node.name not in parents:
                yield inner, (False, node.name), 1
            own = defined.count(inner.name) == 1 and inner.name not in COMMON
            decorators = [ast.unparse(d) for d in inner.decorator_list]
            if own and not inner.name.startswith("__") and decorators in ([], ["staticmethod"]):
                yield inner, (True, inner.name), 0 if decorators else 1


# ---- arguments


def without_unread(file: Statements, kept: set[str]) -> Statements:
    """Returns a file without arguments that are not read, and without what is given for them.

    Args:
        file: its statements.
        kept: functions and methods that others call.
    """
    return _until_still(file, kept, _first_unread)


def _until_still(
    file: Statements,
    kept: set[str],
    change: Callable[[Statements, CalledFunction, list[Cut]], list[Cut]],
) -> Statements:
    """Returns a file whose functions were changed, one after another, until nothing changes.

    Args:
        file: its statements.
        kept: functions and methods that others call.
        change: returns what to change for a function, beside what is changed already.
    """
    while True:
        cuts: list[Cut] = []
        for one in called_functions(file, kept):
            cuts += change(file, one, cuts)
        if not cuts:
            return file
        file = file.changed(cuts)


def _first_unread(source: Statements, one: CalledFunction, cuts: list[Cut]) -> list[Cut]:
    found = (_cuts(source, one, name) for name in _unread(one))
    return next((new for new in found if new and not meets(new, cuts)), [])


def _unread(one: CalledFunction) -> list[str]:
    body = ast.Module(one.node.body, [])
    read = {n.id for n in below(body) if isinstance(n, ast.Name)}
    own = [a.arg for a in (*one.node.args.args, *one.node.args.kwonlyargs)][one.skipped :]
    return [name for name in own if name not in read]


def _cuts(source: Statements, one: CalledFunction, name: str) -> list[Cut]:
    """Returns what takes an argument away; nothing where what is given for it does something."""
    own = [a.arg for a in one.node.args.args]
    position = own.index(name) - one.skipped if name in own else len(own) + 99
    pieces = arguments_of(source, one.node)
    cuts = [defined_with(source, one.node, [t for n, t in pieces.items() if n != name])]
    for call in one.calls:
        gone = [a for i, a in enumerate(call.args) if i == position]
        gone += [k.value for k in call.keywords if k.arg == name]
        if not all(isinstance(n, PURE) for a in gone for n in below(a)):
            return []
        if gone:
            left = [text_of_node(source, a) for a in call.args if a not in gone]
            left += [text_of_node(source, k) for k in call.keywords if k.value not in gone]
            cuts.append(called_with(source, call, left))
    return cuts


# ---- expressions


def with_expressions(file: Statements, kept: set[str]) -> Statements:
    """Returns a file with short expressions in place of calls of functions that are nothing else.

    Args:
        file: its statements.
        kept: functions and methods that others call.
    """
    return _until_still(file, kept, _in_place)


def _in_place(source: Statements, one: CalledFunction, cuts: list[Cut]) -> list[Cut]:
    """Returns what puts the expression of a function where it is called, and takes it away."""
    value = _expression(one.node)
    if value is None or one.skipped or one.node.decorator_list:
        return []
    size = len(text_of_node(source, value))
    if size > SHORT and (size > LONG or len(one.calls) > 1):
        return []
    new = [cut for call in one.calls if (cut := _inlined(source, one.node, value, call))]
    if len(new) < len(one.calls) or meets(new, cuts) or _nested(new):
        return []
    own: Cut = (*source.block(one.node), b"")
    return [] if meets([own], cuts) else [*new, own]


def _nested(cuts: list[Cut]) -> bool:
    return any(meets([a], [b]) for i, a in enumerate(cuts) for b in cuts[i + 1 :])


def _expression(function: ast.FunctionDef) -> ast.expr | None:
    """Returns what a function is, where it is one expression without names of its own."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        return None
    value = body[0].value
    own = (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp, ast.NamedExpr)
    return None if any(isinstance(n, own) for n in below(value)) else value


def _inlined(
    source: Statements, function: ast.FunctionDef, value: ast.expr, call: ast.Call
) -> Cut | None:
    """Returns the change that puts an expression where a function is called, or None."""
    if function.args.kwonlyargs or function.args.kwarg:
        return None
    names = [a.arg for a in function.args.args]
    defaults = dict(zip(names[::-1], function.args.defaults[::-1], strict=False))
    given = {
        **defaults,
        **dict(zip(names, call.args, strict=False)),
        **{str(k.arg): k.value for k in call.keywords},
    }
    if {*given} != {*names}:
        return None
    uses = [n.id for n in below(value) if isinstance(n, ast.Name)]
    for name, argument in given.items():
        atom = isinstance(argument, ATOMS) and all(isinstance(n, PURE) for n in below(argument))
        pure = all(isinstance(n, PURE) for n in below(argument))
        if not (atom or uses.count(name) == 1 or (pure and not uses.count(name))):
            return None
    if {*names_loaded(value)} - {*names} & _local(call):
        return None
    texts = {
        name: text_of_node(source, one)
        if isinstance(one, TIGHT)
        else f"({text_of_node(source, one)})"
        for name, one in given.items()
    }
    said = with_names(text_of_node(source, value), texts)
    if "\n" in said:
        return None
    start, end = source.span(call)
    return start, end, (said if isinstance(value, TIGHT) else f"({said})").encode()


def _local(call: Any) -> set[str]:
    """Returns the names that functions around a call give a value to."""
    found: set[str] = set()
    for node in call.statement.nodes:
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            continue
        if node.lineno <= call.lineno <= (node.end_lineno or 0):
            found |= {n.arg for n in below(node) if isinstance(n, ast.arg)}
            stored = (n for n in below(node) if isinstance(n, ast.Name))
            found |= {n.id for n in stored if isinstance(n.ctx, ast.Store)}
    return found


# ---- fields


def without_unread_fields(file: Statements) -> Statements:
    """Returns a file whose records hold what somebody asks for."""
    while True:
        every = {n.attr for n in file.nodes if isinstance(n, ast.Attribute)}
        elsewhere = _asked(file.nodes, inside=False)
        cuts: list[Cut] = []
        for node in file.body:
            if isinstance(node, ast.ClassDef) and _is_record(node):
                own = elsewhere | _asked(below(node), inside=True)
                dots = every if node.name == "Spec" else own
                for name in _fields(node):
                    new = [] if name in dots else _field_cuts(file, node, name)
                    if new and not meets(new, cuts):
                        cuts += new
                        break
        if not cuts:
            return file
        file = file.changed(cuts)


def _asked(nodes: Sequence[ast.AST], inside: bool) -> set[str]:
    """Returns what is asked of objects: of a class's own, or of others, a spec aside."""
    dots = (n for n in nodes if isinstance(n, ast.Attribute))
    asked = ((n.attr, dotted(n.value)) for n in dots if isinstance(n.ctx, ast.Load))
    return {name for name, of in asked if (of == "self") is inside and of not in SPECS}


def _is_record(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(d) for d in node.decorator_list)


def _fields(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(n.target) for n in node.body if isinstance(n, ast.AnnAssign)]


def _field_cuts(source: Statements, record: ast.ClassDef, name: str) -> list[Cut]:
    """Returns what takes a field away; nothing where what is given for it does something."""
    names = _fields(record)
    position = names.index(name)
    (field,) = (
        n for n in record.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == name
    )
    alone = len(record.body) == 1
    cuts: list[Cut] = [(*source.block(field), b"    pass\n" if alone else b"")]
    for call in (n for n in source.nodes if isinstance(n, ast.Call)):
        called = dotted(call.func)
        if called not in (record.name, "replace"):
            continue
        if any(isinstance(a, ast.Starred) for a in call.args) or any(
            k.arg is None for k in call.keywords
        ):
            return []
        own = called == record.name
        gone = [a for i, a in enumerate(call.args) if own and i == position]
        gone += [k.value for k in call.keywords if k.arg == name]
        if not all(isinstance(n, (*PURE, ast.Call)) for a in gone for n in below(a)):
            return []
        if gone:
            left = [text_of_node(source, a) for a in call.args if a not in gone]
            left += [text_of_node(source, k) for k in call.keywords if k.value not in gone]
            cuts.append(called_with(source, call, left))
    return [] if _nested(cuts) else cuts
