"""A file as the list of its statements, and how it is changed."""

from __future__ import annotations

import ast
import bisect
import itertools
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from .parsed import Cut, with_cuts
from .statement import Statement, statement


class Statements:
    """A file, whose statements are read once though it is written anew again and again.

    Args:
        parts: the statements in their order, each with the lines before it.
    """

    def __init__(self, parts: Sequence[Statement]) -> None:
        self.parts = parts
        self.data = b"\n".join(one.data for one in parts)
        lengths = [len(one.data) + 1 for one in parts]
        self.offsets = [0, *itertools.accumulate(lengths)][:-1]
        self._offset = dict(zip(map(id, parts), self.offsets, strict=True))

    @classmethod
    def of(cls, text: str) -> Statements:
        """Returns the statements of a text."""
        lines, at, found = text.split("\n"), 0, []
        for node in ast.parse(text).body:
            end = node.end_lineno or 0
            found.append(statement((*lines[at:end],)))
            at = end
        return cls([*found, statement((*lines[at:],))])

    @classmethod
    def apart(cls, texts: Iterable[str]) -> Statements:
        """Returns a file of statements with two empty lines between them."""
        every = [("", "", *text.strip("\n").split("\n")) for text in texts]
        return cls([statement(every[0][2:]), *map(statement, every[1:]), statement(("",))])

    @property
    def text(self) -> str:
        """The file."""
        return self.data.decode()

    @property
    def body(self) -> list[Any]:
        """The statements."""
        return [one.node for one in self.parts if one.node is not None]

    @cached_property
    def nodes(self) -> list[Any]:
        """All nodes of all statements."""
        return [*itertools.chain.from_iterable(one.nodes for one in self.parts)]

    # ---- places

    def span(self, node: Any) -> tuple[int, int]:
        """Returns where the text of a node begins and ends, its decorators included."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        at, starts = self._offset[id(node.statement)], node.statement.starts
        start = at + starts[first - 1] + node.col_offset
        return start, at + starts[node.end_lineno - 1] + node.end_col_offset

    def block(self, node: Any) -> tuple[int, int]:
        """Returns the lines of a statement, comments right before them included."""
        top = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
        while top and node.statement.lines[top - 1].lstrip().startswith("#"):
            top -= 1
        at, starts = self._offset[id(node.statement)], node.statement.starts
        return at + starts[top], at + starts[node.end_lineno]

    # ---- changes

    def changed(self, cuts: Iterable[Cut]) -> Statements:
        """Returns the file with changes that do not meet."""
        own: dict[int, list[Cut]] = {}
        for cut in cuts:
            own.setdefault(bisect.bisect_right(self.offsets, cut[0]) - 1, []).append(cut)
        parts = [*self.parts]
        for i, inner in own.items():
            at = self.offsets[i]
            local = [(start - at, end - at, new) for start, end, new in inner]
            left = with_cuts(parts[i].data + b"\n", local).decode().split("\n")[:-1]
            parts[i] = statement((*left,))
        return Statements([one for one in parts if one.lines])

    def closed(self) -> Statements:
        """Returns the file with at most two empty lines one after another."""
        found: list[Statement] = []
        before: tuple[str, ...] = ()
        for one in self.parts[:-1]:
            end = 0 if one.node is None else one.node.end_lineno
            if end:
                found.append(_closed(before + one.lines[:end], bool(found)))
                before = ()
            before += one.lines[end:]
        return Statements([*found, _closed(before + self.parts[-1].lines, True)])


def _closed(lines: tuple[str, ...], inside: bool) -> Statement:
    text = "\n".join(["", *lines] if inside else lines)
    text = re.sub(r"\n{4,}", "\n\n\n", text)
    return statement((*text[inside:].split("\n"),))
