"""Constraints: what a setting may be, as objects that check a value, read one and say themselves.

A new kind of setting is a new class here; its control in the app is one entry in
``pages/_shared/controls.py``.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import RequestError, UnknownName, nearest, unknown

LARGEST = 2**63 - 1
"""No whole number is larger, whatever its range: what 64 bits hold."""


class Constraint(abc.ABC):
    """What a setting may be; ``str`` of it completes "it must be ..."."""

    @abc.abstractmethod
    def check(self, where: str, value: Any) -> Any:
        """Returns the value, cast where nothing is lost.

        Args:
            where: the setting, as an error names it, such as ``"SGD.step"``.
            value: what it is to be.

        Raises:
            RequestError: the value is of another type, or not among the valid ones.
        """

    def parse(self, where: str, text: str) -> Any:
        """Returns the valid value that a text says.

        Raises:
            RequestError: it says none.
        """
        return self.check(where, text)

    def closest(self, text: str) -> Any | None:
        """Returns the valid value that comes closest to a text that says none, or None."""
        return None

    def refuse(self, where: str, value: Any) -> RequestError:
        """Returns the error about a value that is not valid."""
        return RequestError(f"{where} is {_shown(value)}; it must be {self}.")


@dataclass(frozen=True)
class Numeric(Constraint):
    """A finite number in an interval.

    Args:
        low: the lower end, or None.
        high: the upper end, or None.
        closed: which of the ends are valid themselves: ``both``, ``left``, ``right``, ``neither``.
    """

    low: float | None = None
    high: float | None = None
    closed: str = "both"

    word: ClassVar[str] = ""
    kind: ClassVar[type[float] | type[int]] = float

    @abc.abstractmethod
    def number(self, value: Any) -> float | int | None:
        """Returns a value or a text as a finite number of this kind, or None if it is none."""

    def holds(self, number: float | int) -> bool:
        """Says whether a number lies in the interval."""
        above = self.low is None or number > self.low or (self._left and number == self.low)
        below = self.high is None or number < self.high or (self._right and number == self.high)
        return above and below

    def check(self, where: str, value: Any) -> float | int:
        number = None if isinstance(value, (str, bool)) else self.number(value)
        if number is None or not self.holds(number):
            raise self.refuse(where, value)
        return number

    def parse(self, where: str, text: str) -> float | int:
        number = self.number(text)
        if number is None or not self.holds(number):
            raise self.refuse(where, text)
        return number

    def closest(self, text: str) -> float | int | None:
        asked = Number().number(text)
        if asked is None:
            return None
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        found = self.number(self.kind(min(max(asked, low), high)))
        return found if found is not None and self.holds(found) else None

    @property
    def interval(self) -> str:
        """The interval in words, such as ``from 0 to 1``, or nothing if it has no ends."""
        ends = (self.low, self.high)
        if None not in ends and self.closed == "both":
            return "from {} to {}".format(*map(_end, ends))
        words = ("of at least" if self._left else "above", "of at most" if self._right else "below")
        said = zip(words, ends, strict=True)
        return " and ".join(f"{word} {_end(end)}" for word, end in said if end is not None)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.word, self.interval)))

    @property
    def _left(self) -> bool:
        return self.closed in ("both", "left")

    @property
    def _right(self) -> bool:
        return self.closed in ("both", "right")


@dataclass(frozen=True)
class Number(Numeric):
    """A finite number in an interval.

    Example:
        >>> Number(0, closed="neither").check("SGD.step", 2)
        2.0
        >>> str(Number(0, 1, closed="right"))
        'a number above 0 and of at most 1'
    """

    word: ClassVar[str] = "a number"

    def number(self, value: Any) -> float | None:
        if not _readable(value):
            return None
        try:
            found = float(value) + 0.0  # there is one zero: -0.0 is written and hashed as 0.0
        except (ValueError, OverflowError):
            return None
        return found if math.isfinite(found) else None


@dataclass(frozen=True)
class Whole(Numeric):
    """A whole number in an interval, of at most 64 bits.

    Example:
        >>> Whole(1, 64).parse("model.depth", "2")
        2
        >>> str(Whole(1, 64))
        'a whole number from 1 to 64'
    """

    word: ClassVar[str] = "a whole number"
    kind: ClassVar[type[float] | type[int]] = int

    def number(self, value: Any) -> int | None:
        if not _readable(value):
            return None
        try:
            found = int(value)
        except (ValueError, OverflowError):  # a text such as "2.0", or a number without an end
            rounded = Number().number(value) if isinstance(value, str) else None
            return None if rounded is None else self.number(rounded)
        exact = isinstance(value, str) or found == value
        return found if exact and abs(found) <= LARGEST else None


@dataclass(frozen=True)
class Flag(Constraint):
    """True or false."""

    def check(self, where: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.refuse(where, value)
        return value

    def parse(self, where: str, text: str) -> bool:
        return self.check(where, {"true": True, "false": False}.get(text.lower(), text))

    def __str__(self) -> str:
        return "true or false"


class Listed(Constraint):
    """One of some values that are listed."""

    @property
    @abc.abstractmethod
    def values(self) -> tuple[Any, ...]:
        """The valid values, as they are written."""

    def unlisted(self, where: str, value: Any) -> UnknownName:
        """Returns the error about a value that is not listed."""
        asked = value if isinstance(value, str) else _shown(value)
        return unknown(f"value of {where}", asked, map(str, self.values))

    def closest(self, text: str) -> Any | None:
        valid = {str(value): value for value in self.values}
        return next((valid[name] for name in nearest(text, valid, n=1)), None)

    def __str__(self) -> str:
        words = [str(value) for value in self.values]
        return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


@dataclass(frozen=True)
class Choice(Listed):
    """One of a few values.

    Example:
        >>> Choice(("none", "l2", "rms")).parse("Frame.qk_norm", "l2")
        'l2'
    """

    among: tuple[Any, ...]

    @property
    def values(self) -> tuple[Any, ...]:
        return self.among

    def check(self, where: str, value: Any) -> Any:
        if value not in self.among:
            raise self.unlisted(where, value)
        return value

    def parse(self, where: str, text: str) -> Any:
        return self.check(where, next((c for c in self.among if str(c) == text), text))


@dataclass(frozen=True)
class Text(Constraint):
    """Any text."""

    def check(self, where: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.refuse(where, value)
        return value

    def __str__(self) -> str:
        return "a text"


@dataclass(frozen=True)
class Names(Constraint):
    """A list of names; as text they stand between commas."""

    def check(self, where: str, value: Any) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
            raise self.refuse(where, value)
        return tuple(items)

    def parse(self, where: str, text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def __str__(self) -> str:
        return "a list of names"


@dataclass(frozen=True)
class Either(Constraint):
    """What one constraint or the other admits; the first that does decides.

    Example:
        >>> rate = Either(Choice(("auto",)), Number(1e-6, 1))
        >>> rate.parse("train.lr", "0.01"), str(rate)
        (0.01, 'auto or a number from 1e-6 to 1')
    """

    first: Constraint
    second: Constraint

    def check(self, where: str, value: Any) -> Any:
        if isinstance(value, str):  # a word of the one, or what the other is written as
            return self.parse(where, value)
        try:
            return self._tried(lambda one: one.check(where, value))
        except RequestError:
            raise self.refuse(where, value) from None

    def parse(self, where: str, text: str) -> Any:
        try:
            return self._tried(lambda one: one.parse(where, text))
        except RequestError:
            raise self.refuse(where, text) from None

    def _tried(self, attempt: Callable[[Constraint], Any]) -> Any:
        try:
            return attempt(self.first)
        except RequestError:
            return attempt(self.second)

    def closest(self, text: str) -> Any | None:
        found = self.second.closest(text)
        return self.first.closest(text) if found is None else found

    def __str__(self) -> str:
        return f"{self.first} or {self.second}"


def _readable(value: Any) -> bool:
    """Says whether a value may be a number; Python takes 1_0, and the digits of every script."""
    if isinstance(value, str):
        return value.isascii() and "_" not in value
    return isinstance(value, (int, float))


def _end(number: float | None) -> str:
    """Returns an end of an interval as text, a whole number in full."""
    return (
        str(number)
        if isinstance(number, int)
        else f"{number:g}".replace("e-0", "e-").replace("e+0", "e")
    )


def _shown(value: Any) -> str:
    """Returns a value for an error: short, and whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4 300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:80]}..."
