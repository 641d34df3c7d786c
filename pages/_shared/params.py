"""Values of an address: how each is read, checked and written.

Whatever an address says, reading gives a valid value, and a sentence where it said none.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pages._shared import snippets
from ttr_core import Ingredient, Option, RequestError, constraints, unknown

SHOWN_CHARS = 80
SWITCHED = {"true": True, "false": False}


class Param(abc.ABC):
    """A value that an address may name."""

    @property
    @abc.abstractmethod
    def default(self) -> Any:
        """The value where the address says nothing."""

    @abc.abstractmethod
    def read(self, key: str, said: Sequence[str]) -> tuple[Any, list[str]]:
        """Returns the value that the texts of a name say, and a sentence for each that is wrong."""

    @abc.abstractmethod
    def write(self, value: Any) -> list[str]:
        """Returns the texts that say a value."""

    @property
    def at_default(self) -> list[str]:
        """The texts of the default."""
        return self.write(self.default)


@dataclass(frozen=True)
class Declared(Param):
    """A declared setting, as its control holds it.

    Args:
        option: the setting.
    """

    option: Option

    @property
    def default(self) -> Any:
        return self._as_held(held(self.option.default))

    def read(self, key: str, said: Sequence[str]) -> tuple[Any, list[str]]:
        value, problem = checked(key, self.option, said[-1])
        return self._as_held(value), [problem] if problem else []

    def write(self, value: Any) -> list[str]:
        return [snippets.written(held(value))]

    def _as_held(self, value: Any) -> Any:
        """A setting that has no control of its own is a line of text."""
        typed = isinstance(self.option.constraint, (constraints.Either, constraints.Names))
        return snippets.written(value) if typed else value


@dataclass(frozen=True)
class Words(Param):
    """A line of text.

    Args:
        limit: letters at most.
    """

    limit: int

    @property
    def default(self) -> str:
        return ""

    def read(self, key: str, said: Sequence[str]) -> tuple[str, list[str]]:
        text = said[-1]
        if len(text) <= self.limit:
            return text, []
        return text[: self.limit], [
            f"{key} has {len(text)} letters in the address; the first {self.limit} are read."
        ]

    def write(self, value: Any) -> list[str]:
        return [value or ""]


@dataclass(frozen=True)
class Switch(Param):
    """Something that is on or off.

    Args:
        start: which of both where nothing is said.
    """

    start: bool = False

    @property
    def default(self) -> bool:
        return self.start

    def read(self, key: str, said: Sequence[str]) -> tuple[bool, list[str]]:
        asked = said[-1].lower()
        if asked in SWITCHED:
            return SWITCHED[asked], []
        wrong = asked and str(unknown(f"value of {key}", said[-1][:SHOWN_CHARS], SWITCHED))
        return self.start, [wrong] if wrong else []

    def write(self, value: Any) -> list[str]:
        return [str(bool(value)).lower()]


@dataclass(frozen=True)
class OneOf(Param):
    """One of some values.

    Args:
        kind: what it is called in an error.
        values: the valid ones.
        start: the one where nothing is said; None for none.
        labels: what else an address may call a value.
    """

    kind: str
    values: tuple[Any, ...]
    start: Any = None
    labels: tuple[tuple[str, Any], ...] = ()

    @property
    def default(self) -> Any:
        return self.start

    def read(self, key: str, said: Sequence[str]) -> tuple[Any, list[str]]:
        names = {str(one).lower(): one for one in self.values if one is not None}
        names |= {label.lower(): one for label, one in self.labels}
        asked = said[-1]
        if asked.lower() in names:
            return names[asked.lower()], []
        known = [str(one) for one in self.values if one not in (None, "")]
        wrong = asked and str(unknown(self.kind, asked[:SHOWN_CHARS], known))
        return self.start, [wrong] if wrong else []

    def write(self, value: Any) -> list[str]:
        return ["" if value is None else str(value)]


@dataclass(frozen=True)
class Several(Param):
    """A list; an emptied one is written, too.

    Args:
        kind: what one of them is called in an error.
        values: the valid ones; None where any text is.
        start: the list where nothing is said.
        most: at most so many of them.
    """

    kind: str
    values: tuple[str, ...] | None = None
    start: tuple[str, ...] = ()
    most: int = 1000

    @property
    def default(self) -> list[str]:
        return list(self.start)

    def read(self, key: str, said: Sequence[str]) -> tuple[list[str], list[str]]:
        asked = list(dict.fromkeys(text for text in said if text))
        wrong = [] if self.values is None else [one for one in asked if one not in self.values]
        problems = [str(unknown(self.kind, one[:SHOWN_CHARS], self.values or ())) for one in wrong]
        kept = [one for one in asked if one not in wrong]
        return kept[: self.most], problems + more_than_fit(key, len(kept), self.most)

    def write(self, value: Any) -> list[str]:
        return [str(one) for one in value or ()] or [""]


def more_than_fit(key: str, count: int, most: int) -> list[str]:
    """Returns what is to be said where an address names more of something than a page has room for.

    Example:
        >>> more_than_fit("compare.run", 9, 8)
        ['compare.run names 9 in the address; the first 8 are read.']
    """
    return [f"{key} names {count} in the address; the first {most} are read."][: count > most]


def settings_of(options: Mapping[str, Option]) -> dict[str, Param]:
    """Returns the parameters of some declared settings."""
    return {key: Declared(option) for key, option in options.items()}


def first_of(kind: str, values: Iterable[Any], start: Any = None) -> OneOf:
    """Returns the parameter of a choice, which starts at the first where nothing else is said."""
    among = tuple(values)
    return OneOf(kind, among, among[0] if start is None and among else start)


def checked(key: str, option: Option, raw: str) -> tuple[Any, str | None]:
    """Returns the value that ``raw`` names, or the nearest valid one and a sentence about it."""
    try:
        return option.parse(key, raw), None
    except RequestError:
        closest = option.constraint.closest(raw)
    asked = f"{key} is {raw[:SHOWN_CHARS]!r} in the address"
    if closest is None:
        default = held(option.default)
        said = snippets.written(default)
        return default, f"{asked}, not {option.constraint}; using {said}."
    return closest, f"{asked}; using {snippets.written(closest)}, the nearest valid value."


def held(value: Any) -> Any:
    """Returns a value as a control holds it: of an ingredient its name."""
    return value.name if isinstance(value, Ingredient) else value
