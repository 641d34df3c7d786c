"""A plan's text: plain YAML, read as text values, each with the line it stands on.

Values stay text, as ``--set`` gives them, so that ``1e-4`` is a number and ``on`` a word. Anchors,
aliases, tags and repeated keys are refused, and sizes are counted before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ttr_core import RequestError, nearest

from ..store.connection import no_file

MAX_BYTES = 200_000
MAX_DEPTH = 6
MAX_PARTS = 20_000

Place = tuple[str | int, ...]
"""The way from the top of a plan to one of its parts: keys and places in lists."""


class Source:
    """Where the parts of a plan stand.

    Args:
        name: what to call the plan in an error.
    """

    def __init__(self, name: str) -> None:
        self.name, self.lines = name, dict[Place, int]()

    def place(self, place: Sequence[str | int]) -> Place:
        """Returns the nearest place in the text to one that may name more than the text has."""
        known: Place = ()
        for part in place:
            if (*known, part) in self.lines:
                known = (*known, part)
        return known

    def line(self, place: Sequence[str | int]) -> int | None:
        """Returns the line of a part, or that of the nearest part around it."""
        return self.lines.get(self.place(place))

    def error(self, place: Sequence[str | int], said: str) -> RequestError:
        """Builds the error for something wrong at a place."""
        return RequestError(self.located(place, said))

    def located(self, place: Sequence[str | int], said: str) -> str:
        """Returns a sentence with the file and the line before it."""
        line = self.line(place)
        return f"{self.name}: {said}" if line is None else f"{self.name}, line {line}: {said}"


def read(path: Path) -> tuple[Any, Source]:
    """Reads a plan.

    Raises:
        RequestError: there is none, or it is not plain YAML; the text names the line.
    """
    if (said := no_file(path)) is not None:
        raise RequestError(f"The plan {path} cannot be read: it is {said}.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RequestError(_missing(path)) from None
    except OSError as error:
        raise RequestError(f"The plan {path} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise RequestError(f"{path} has more than {MAX_BYTES:,} bytes: that is no plan.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8 text (byte {error.start}).") from None
    return plan_of(text, str(path))


def plan_of(text: str, name: str = "plan") -> tuple[Any, Source]:
    """Returns the values of a plan's text, and where they stand.

    Raises:
        RequestError: it is not plain YAML.

    Example:
        >>> plan_of("seeds: [0, 1]")[0]
        {'seeds': ['0', '1']}
    """
    source = Source(name)
    try:
        return _Reader(source, text).document(), source
    except yaml.YAMLError as error:
        raise _broken(source, error) from None


def _missing(path: Path) -> str:
    plans = [file.name for file in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    close = nearest(path.name, plans)
    hint = f" Did you mean {path.with_name(close[0])}?" if close else ""
    return f"There is no plan {path}.{hint} examples/ holds some to start from."


def _broken(source: Source, error: yaml.YAMLError) -> RequestError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is not None:
        source.lines[()] = mark.line + 1
    return source.error((), f"this is not YAML: {problem}.")


class _Reader:
    """Builds values from YAML's events, which come one by one."""

    def __init__(self, source: Source, text: str) -> None:
        self._source, self._parts = source, 0
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)

    def document(self) -> Any:
        found: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found:
                    raise self._refusal(event, "a second document begins; write one plan a file")
                found.append(self._value(next(self._events), ()))
        if not found:
            raise self._source.error((), "the plan is empty; examples/ holds some to start from.")
        return found[0]

    def _value(self, event: Any, place: Place) -> Any:
        self._parts += 1
        self._source.lines.setdefault(place, event.start_mark.line + 1)
        self._check(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return event.value
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(item, (*place, len(items))))
            return items
        return self._mapping(place)

    def _mapping(self, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refusal(event, "a key must be a word")
            self._check(event, place)
            key = event.value
            if key in values:
                raise self._refusal(event, f"{key[:80]!r} stands here a second time; keep one")
            self._source.lines[*place, key] = event.start_mark.line + 1
            values[key] = self._value(next(self._events), (*place, key))
        return values

    def _check(self, event: Any, place: Place) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            raise self._refusal(
                event, f"anchors and aliases ({sign}{event.anchor}) are not for plans; write it out"
            )
        if event.tag is not None:
            raise self._refusal(event, f"tags ({event.tag[:40]}) are not for plans; leave it out")
        if self._parts > MAX_PARTS:
            raise self._refusal(event, f"the plan has more than {MAX_PARTS:,} parts; shorten it")
        if len(place) > MAX_DEPTH:
            raise self._refusal(event, f"lists and keys are nested more than {MAX_DEPTH} deep")

    def _refusal(self, event: Any, said: str) -> RequestError:
        line = event.start_mark.line + 1
        return RequestError(f"{self._source.name}, line {line}: {said}.")
