"""The text of a function with what a layer's configuration has decided left out."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .module_text import MARKS, ModuleText
from .observed import Recorder
from .parsed import Cut, below

PLAIN = {"Tensor", "int", "float", "bool", "str", "None", "tuple", "list", "dict", "torch", "nn"}
"""What annotations may be made of in a file that knows nothing else."""
SECTIONS = ("Example:", "Raises:", "Deviation:")
"""Sections of a docstring that an exported file leaves out."""
DROPPED = ("abstractmethod",)

Replace = Callable[[ast.AST], str | None]


def nothing_else(node: ast.AST) -> str | None:
    """Replaces nothing."""
    return None


@dataclass
class Pruned:
    """Writes the definitions of a module as a layer uses them.

    Args:
        source: the module.
        recorder: what ran.
        replace: what stands for a node instead of its text, or None.
        known: conditions as text -> how they come out.
    """

    source: ModuleText
    recorder: Recorder
    replace: Replace = nothing_else
    known: Mapping[str, bool] = field(default_factory=dict)

    def text(self, node: Any) -> str:
        """Returns the text of a definition, flush left."""
        start, end = self.source.span(node)
        head = b" " * node.col_offset
        made = head + self._edited(start, end, self._edits(node))
        return textwrap.dedent(MARKS.sub(b"", made).decode())

    def expression(self, node: ast.expr) -> str:
        """Returns the text of an expression."""
        found = self._replacement(node)
        made = self._edited(*self.source.span(node), self._edits(node)) if found is None else found
        return made.decode()

    def _edited(self, start: int, end: int, edits: list[Cut]) -> bytes:
        parts, at = [], start
        for first, last, new in sorted(edits):
            if first < start or first >= end:
                continue
            parts += [self.source.data[at:first], new]
            at = min(last, end)
        return b"".join([*parts, self.source.data[at:end]])

    def _edits(self, node: ast.AST) -> list[Cut]:
        found: list[Cut] = []
        if isinstance(node, ast.FunctionDef):
            found += self._signature(node)
        for name, value in ast.iter_fields(node):
            if name in ("decorator_list", "returns", "annotation"):
                continue
            body = isinstance(value, list) and value and isinstance(value[0], ast.stmt)
            if body:
                found += self._body(value, node)
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.arguments):
                    found += self._defaults(child)
                elif isinstance(child, ast.AST):
                    found += self._child(child)
        return found

    def _defaults(self, arguments: ast.arguments) -> list[Cut]:
        given = [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
        return [edit for value in given for edit in self._child(value)]

    def _child(self, child: ast.AST) -> list[Cut]:
        if isinstance(child, ast.expr) and (text := self._replacement(child)) is not None:
            return [(*self.source.span(child), text)]
        return self._edits(child)

    # ---- expressions

    def _replacement(self, node: ast.expr) -> bytes | None:
        if (said := self.replace(node)) is not None:
            return said.encode()
        if isinstance(node, ast.IfExp) and (truth := self.decided(node.test)) is not None:
            return self.expression(node.body if truth else node.orelse).encode()
        if isinstance(node, ast.BoolOp):
            return self._joined(node)
        if isinstance(node, ast.Compare) and (value := constant(node)) is not None:
            return str(value).encode()
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            return self._comprehended(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cast":
            return self.expression(node.args[1]).encode()
        return None

    def _joined(self, node: ast.BoolOp) -> bytes | None:
        """Drops what is always true of a conjunction, always false of a disjunction."""
        neutral = isinstance(node.op, ast.And)
        kept = [v for v in node.values[:-1] if self.decided(v) is not neutral] + node.values[-1:]
        if len(kept) == len(node.values):
            return None
        word = " and " if neutral else " or "
        text = word.join(self.expression(value) for value in kept)
        return text.encode()

    def _comprehended(self, node: Any) -> bytes | None:
        """Drops conditions that always hold."""
        edits: list[Cut] = []
        for clause in node.generators:
            for test in clause.ifs:
                if self.decided(test) is True:
                    start, end = self.source.span(test)
                    start = self.source.data.rindex(b"if", 0, start)
                    edits.append((start, end, b""))
        if not edits:
            return None
        gone = [(s, e) for s, e, _ in edits]
        inner = [
            edit
            for edit in self._edits(node)
            if not any(s <= edit[0] and edit[1] <= e for s, e in gone)
        ]
        return self._edited(*self.source.span(node), edits + inner)

    def decided(self, test: ast.expr) -> bool | None:
        """Returns how a condition always comes out, where the configuration alone decides it."""
        if (said := self.known.get(ast.unparse(test))) is not None:
            return said
        if (value := constant(test)) is not None:
            return bool(value)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self._seen(test) if static(test.operand) else None
        return self._seen(test) if static(test) else None

    def _seen(self, test: ast.expr) -> bool | None:
        outcomes = self.recorder.outcomes.get(self.source.place(test), set())
        if {"int", "float"} & {kind for _, kind in outcomes} and not isinstance(
            test, ast.Attribute
        ):
            return None
        truths = {truth for truth, _ in outcomes}
        return truths.pop() if len(truths) == 1 else None

    def never(self, test: ast.expr) -> bool:
        """Whether a condition was asked for and never true."""
        outcomes = self.recorder.outcomes.get(self.source.place(test), set())
        return {truth for truth, _ in outcomes} <= {False}

    # ---- statements

    def _body(self, body: list[ast.stmt], owner: ast.AST) -> list[Cut]:
        edits: list[Cut] = []
        kept, left = 0, False
        for i, node in enumerate(body):
            if left:
                edits.append((*self.source.block(node, node), b""))
                continue
            left = self._leaves(node)
            if i == 0 and _is_docstring(node) and isinstance(owner, ast.FunctionDef):
                edits += self._docstring(node)
                continue
            if (text := self._statement(node)) is None:
                edits += self._edits(node) if not isinstance(node, ast.AnnAssign) else []
                edits += self._bare(node) if isinstance(node, ast.AnnAssign) else []
                kept += 1
                continue
            edits.append((*self.source.block(node, node), text.encode()))
            kept += bool(text.strip())
        if not kept and body:
            first, last = edits[-1][0], edits[-1][1]
            indent = b" " * body[0].col_offset
            if not (_is_docstring(body[0]) and len(body) == 1):
                edits[-1] = (first, last, edits[-1][2] + indent + b"pass\n")
        return edits

    def _statement(self, node: ast.stmt) -> str | None:
        """Returns what stands for a statement, indented as it is; None for itself."""
        if isinstance(node, ast.Assert):
            return ""
        if isinstance(node, ast.If):
            return self._branches(node, "if")
        if isinstance(node, ast.Expr) and self.replace(node.value) == "":
            return ""
        return None

    def _leaves(self, node: ast.stmt) -> bool:
        """Whether nothing after a statement is reached."""
        if isinstance(node, ast.Return | ast.Raise | ast.Continue):
            return True
        if not isinstance(node, ast.If):
            return False
        truth = self.decided(node.test)
        inside = any(map(self._leaves, node.body))
        outside = any(map(self._leaves, node.orelse))
        return inside and outside if truth is None else inside if truth else outside

    def _branches(self, node: ast.If, word: str) -> str:
        indent = " " * node.col_offset
        truth = self.decided(node.test)
        only_raises = all(isinstance(inner, ast.Raise) for inner in node.body)
        if truth is None and only_raises and self.never(node.test):
            truth = False
        if truth is True:
            body = self._block(node.body, node.col_offset + (4 if word == "elif" else 0))
            return f"{indent}else:\n{body}" if word == "elif" else body
        rest = node.orelse
        chained = len(rest) == 1 and isinstance(rest[0], ast.If) and self._is_elif(rest[0])
        if truth is False:
            if not rest:
                return ""
            if chained:
                return self._branches(rest[0], word)  # type: ignore[arg-type]  # an If
            body = self._block(rest, node.col_offset + (4 if word == "elif" else 0))
            return f"{indent}else:\n{body}" if word == "elif" else body
        text = f"{indent}{word} {self.expression(node.test)}:\n"
        text += self._block(node.body, node.col_offset + 4) or f"{indent}    pass\n"
        if chained:
            return text + self._branches(rest[0], "elif")  # type: ignore[arg-type]  # an If
        if rest and (body := self._block(rest, node.col_offset + 4)):
            text += f"{indent}else:\n{body}"
        return text

    def _is_elif(self, node: ast.If) -> bool:
        start = self.source.starts[node.lineno - 1] + node.col_offset
        return self.source.data[start : start + 4] == b"elif"

    def _block(self, body: list[ast.stmt], indent: int) -> str:
        start, end = self.source.block(body[0], body[-1])
        text = self._edited(start, end, self._body(body, body[0])).decode()
        lines = textwrap.dedent(text).splitlines()
        return "".join(f"{' ' * indent}{line}\n" if line else "\n" for line in lines)

    def _bare(self, node: ast.AnnAssign) -> list[Cut]:
        """Leaves an annotation out that the file could not read."""
        edits = self._child(node.value) if node.value is not None else []
        if not is_plain(node.annotation) and node.value is not None:
            start = self.source.span(node.target)[1]
            edits.append((start, self.source.span(node.annotation)[1], b""))
        return edits

    def _docstring(self, node: ast.stmt) -> list[Cut]:
        assert isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        start, end = self.source.span(node)
        text = self.source.data[start:end].decode()
        return [(start, end, short_docstring(text, node.col_offset).encode())]

    def _signature(self, node: ast.FunctionDef) -> list[Cut]:
        edits: list[Cut] = []
        for decorator in node.decorator_list:
            if ast.unparse(decorator).endswith(DROPPED):
                edits.append((*self.source.block(decorator, decorator), b""))
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in every:
            if argument.annotation is not None and not is_plain(argument.annotation):
                start = self.source.span(argument)[0] + len(argument.arg.encode())
                edits.append((start, self.source.span(argument.annotation)[1], b""))
        if node.returns is not None and not is_plain(node.returns):
            start, end = self.source.span(node.returns)
            arrow = self.source.data.rindex(b"->", 0, start)
            before = self.source.data[:arrow].rstrip()
            edits.append((len(before), end, b""))
        return edits


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def constant(test: ast.expr) -> object:
    """Returns what a comparison of plain values, or a plain value, comes to; None for others."""
    sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
    kinds = (ast.Constant, ast.Tuple, ast.Load)
    if not all(isinstance(leaf, kinds) for side in sides for leaf in below(side)):
        return None
    code = compile(ast.fix_missing_locations(ast.Expression(test)), "", "eval")
    return eval(code, {"__builtins__": {}})


def is_plain(annotation: ast.expr) -> bool:
    """Whether an annotation is made of what every file knows."""
    names = {n.id for n in below(annotation) if isinstance(n, ast.Name)}
    texts = [n for n in below(annotation) if isinstance(n, ast.Constant) and n.value is not None]
    return names <= PLAIN and not any(isinstance(n.value, str) for n in texts)


def static(test: ast.expr) -> bool:
    """Whether the form of a condition is that of a question about the configuration."""
    if isinstance(test, ast.BoolOp):
        return all(map(static, test.values))
    if isinstance(test, ast.UnaryOp):
        return isinstance(test.op, ast.Not) and static(test.operand)
    if isinstance(test, ast.NamedExpr):
        return False
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        if all(isinstance(op, ast.Is | ast.IsNot) for op in test.ops):
            return True
        if isinstance(test.ops[0], ast.In | ast.NotIn):
            return isinstance(test.left, ast.Constant)
        texts = [s for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, str)]
        return bool(texts) and all(isinstance(op, ast.Eq | ast.NotEq) for op in test.ops)
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Name) and test.func.id in ("isinstance", "issubclass")
    return isinstance(test, ast.Name | ast.Attribute)


def short_docstring(text: str, indent: int) -> str:
    """Returns the literal of a docstring without the sections that an exported file leaves out."""
    blocks = re.split(r"\n(?=[ ]*\n)", text)
    kept: list[str] = []
    skipping = False
    margin = " " * indent
    for block in blocks:
        first = block.strip("\n").strip()
        heading = re.match(rf"\n*{margin}[A-Z][a-z]+:", block)
        if heading:
            skipping = first.startswith(SECTIONS)
        if not skipping:
            kept.append(block)
    made = "\n".join(kept).rstrip()
    quotes = '"""'
    if not made.endswith(quotes):
        made += f"\n{margin}{quotes}"
    return re.sub(rf"\A(.*)\n[ ]*{quotes}\Z", rf"\1{quotes}", made)
