r"""Terms: formulas that write themselves in LaTeX and have a value on a sequence.

What an ingredient says of itself it says in these, so that what is shown can be computed and laid
beside the definition. A memory is a matrix, or a dictionary of them; terms act on each.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

Value = Any  # a number, a tensor or a memory
SUM, ENTRIES, PRODUCT, ATOM = 0, 1, 2, 3
"""How tightly a written term holds together; what is looser than its place wants brackets."""


@dataclass(frozen=True)
class Moment:
    """What letters stand for at one token.

    Args:
        values: by name: a tensor, a memory, a function, or a list over tokens.
        indices: the number of the token, t, from 1; i and j within sums and products.
    """

    values: Mapping[str, Value]
    indices: Mapping[str, int]

    def at(self, **indices: int) -> Moment:
        """Returns the moment with other indices."""
        return replace(self, indices={**self.indices, **indices})

    def having(self, name: str, value: Value) -> Moment:
        """Returns the moment with another value of one letter."""
        return replace(self, values={**self.values, name: value})


def each(f: Callable[..., Value], *values: Value) -> Value:
    """Applies ``f`` to values, or to the tensors of the memories among them, name by name."""
    memory = next((v for v in values if isinstance(v, dict)), None)
    if memory is None:
        return f(*values)
    return {n: f(*(v[n] if isinstance(v, dict) else v for v in values)) for n in memory}


class Term(abc.ABC):
    """A formula."""

    @property
    def binds(self) -> int:
        """How tightly it holds together: ``SUM``, ``ENTRIES``, ``PRODUCT``, ``ATOM``."""
        return ATOM

    @property
    def stands_last(self) -> bool:
        """Whether what follows it in a product would seem to belong to it, as after a sum."""
        return False

    @property
    def parts(self) -> tuple[Term, ...]:
        """The terms that it is made of."""
        return ()

    @property
    def definitions(self) -> tuple[str, ...]:
        """What it defines beside the formula it stands in, in LaTeX."""
        return ()

    @abc.abstractmethod
    def tex(self) -> str:
        """Returns it in LaTeX."""

    @abc.abstractmethod
    def value(self, moment: Moment) -> Value:
        """Returns what it is at a token of a sequence."""

    def within(self, least: int = ATOM) -> str:
        """Returns it in LaTeX, in brackets where it holds less tightly than its place wants."""
        return self.tex() if self.binds >= least else bracketed(self.tex())

    def walk(self) -> Iterator[Term]:
        """Yields it and all that it is made of."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def __add__(self, other: Term | float) -> Term:
        return plus((1, self), (1, term(other)))

    def __radd__(self, other: float) -> Term:
        return plus((1, term(other)), (1, self))

    def __sub__(self, other: Term | float) -> Term:
        return plus((1, self), (-1, term(other)))

    def __rsub__(self, other: float) -> Term:
        return plus((1, term(other)), (-1, self))

    def __neg__(self) -> Term:
        return plus((-1, self))

    def __mul__(self, other: Term | float) -> Term:
        return times(self, term(other))

    def __rmul__(self, other: float) -> Term:
        return times(term(other), self)

    def __truediv__(self, other: Term | float) -> Term:
        return ratio(self, term(other))

    def __rtruediv__(self, other: float) -> Term:
        return ratio(term(other), self)


def term(x: Term | float) -> Term:
    """Returns a number as a term."""
    return x if isinstance(x, Term) else Numeral(float(x))


def bracketed(text: str) -> str:
    """Returns a formula in brackets of its size."""
    size = r"\Big" if r"\sum" in text else r"\big" if "frac" in text or "(" in text else ""
    return f"{size}({text}{size})"


@dataclass(frozen=True)
class Numeral(Term):
    """A number."""

    number: float

    def tex(self) -> str:
        factor, _, power = f"{self.number:g}".partition("e")
        if not power:
            return factor
        tens = f"10^{{{int(power)}}}"
        return tens if factor == "1" else rf"{factor} \cdot {tens}"

    def value(self, moment: Moment) -> Value:
        return self.number


ONE, ZERO = Numeral(1.0), Numeral(0.0)


@dataclass(frozen=True)
class Letter(Term):
    """A letter that a moment gives a value.

    Args:
        name: what the moment knows it by.
        written: it in LaTeX.
        index: the names of its indices, outermost first, each counted from 1.
        where: its definition in LaTeX, where no term defines it.
    """

    name: str
    written: str
    index: tuple[str, ...] = ()
    where: str = ""

    def tex(self) -> str:
        return self.written

    @property
    def definitions(self) -> tuple[str, ...]:
        return (self.where,) if self.where else ()

    def value(self, moment: Moment) -> Value:
        value = moment.values[self.name]
        for name in self.index:
            value = value[moment.indices[name] - 1]
        return value


@dataclass(frozen=True)
class Index(Term):
    """The number of a token."""

    name: str

    def tex(self) -> str:
        return self.name

    def value(self, moment: Moment) -> Value:
        return moment.indices[self.name]


@dataclass(frozen=True)
class Let(Term):
    """A term that is written as a letter, and defined beside the formula.

    Args:
        letter: in LaTeX.
        body: what it is.
        defined: the left side of its definition, where that is not the letter.
    """

    letter: str
    body: Term
    defined: str = ""

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.body,)

    def tex(self) -> str:
        return self.letter

    def value(self, moment: Moment) -> Value:
        return self.body.value(moment)

    @property
    def definitions(self) -> tuple[str, ...]:
        return (f"{self.defined or self.letter} = {self.body.tex()}",)


@dataclass(frozen=True)
class Plus(Term):
    """A sum of terms, each with its sign."""

    terms: tuple[tuple[int, Term], ...]

    @property
    def binds(self) -> int:
        return SUM

    @property
    def parts(self) -> tuple[Term, ...]:
        return tuple(t for _, t in self.terms)

    def tex(self) -> str:
        (sign, first), *rest = self.terms
        text = ("-" if sign < 0 else "") + first.within(ENTRIES)
        return text + "".join(f" {'-' if s < 0 else '+'} {t.within(ENTRIES)}" for s, t in rest)

    def value(self, moment: Moment) -> Value:
        values = [each(lambda x, s=s: s * x, t.value(moment)) for s, t in self.terms]
        total = values[0]
        for value in values[1:]:
            total = each(lambda a, b: a + b, total, value)
        return total


def plus(*terms: tuple[int, Term]) -> Term:
    """Returns a sum; sums within it are opened, and zeros left out."""
    flat: list[tuple[int, Term]] = []
    for sign, one in terms:
        if isinstance(one, Plus):
            flat += [(sign * s, t) for s, t in one.terms]
        elif one != ZERO:
            flat.append((sign, one))
    if not flat:
        return ZERO
    return flat[0][1] if len(flat) == 1 and flat[0][0] > 0 else Plus(tuple(flat))


@dataclass(frozen=True)
class Nothing(Term):
    """A memory of zeros."""

    def tex(self) -> str:
        return "0"

    def value(self, moment: Moment) -> Value:
        return each(torch.zeros_like, moment.values["start"])


NOTHING = Nothing()


@dataclass(frozen=True)
class Times(Term):
    """A product of numbers with at most one vector, matrix or memory."""

    factors: tuple[Term, ...]

    @property
    def binds(self) -> int:
        return PRODUCT

    @property
    def parts(self) -> tuple[Term, ...]:
        return self.factors

    def tex(self) -> str:
        *before, last = self.factors
        return " ".join([*(f.within() for f in before), last.within(PRODUCT)])

    def value(self, moment: Moment) -> Value:
        total: Value = 1.0
        for factor in self.factors:
            total = each(lambda a, b: a * b, total, factor.value(moment))
        return total


def times(*factors: Term) -> Term:
    """Returns a product; products within it are opened, and ones left out; sums stand last."""
    flat: list[Term] = []
    for one in factors:
        flat += one.factors if isinstance(one, Times) else () if one == ONE else (one,)
    if not flat:
        return ONE
    if any(one in (ZERO, NOTHING) for one in flat):
        return ZERO
    flat.sort(key=lambda one: (one != HALF, one.stands_last))
    return flat[0] if len(flat) == 1 else Times(tuple(flat))


@dataclass(frozen=True)
class Form(Term):
    """A function of terms with a way to write it.

    Args:
        pattern: LaTeX with a number in braces for every argument, ``{0}``; braces are doubled.
        rule: what it computes.
        arguments: the terms.
        places: how tightly each argument must hold together.
        holds: how tightly the whole does.
    """

    pattern: str
    rule: Callable[..., Value]
    arguments: tuple[Term, ...]
    places: tuple[int, ...] = ()
    holds: int = ATOM

    @property
    def binds(self) -> int:
        return self.holds

    @property
    def parts(self) -> tuple[Term, ...]:
        return self.arguments

    def tex(self) -> str:
        places = self.places or (SUM,) * len(self.arguments)
        written = (a.within(p) for a, p in zip(self.arguments, places, strict=True))
        return self.pattern.format(*written)

    def value(self, moment: Moment) -> Value:
        return self.rule(*(a.value(moment) for a in self.arguments))


def ratio(above: Term, below: Term) -> Term:
    """Returns a fraction."""
    if below == ONE:
        return above
    return Form(r"\tfrac{{{0}}}{{{1}}}", _divided, (above, below))


def _divided(a: Value, b: Value) -> Value:
    return each(lambda x, y: x / y, a, b)


def _half() -> float:
    return 0.5


HALF = Form(r"\tfrac12", _half, ())


def definitions(*terms: Term) -> list[str]:
    """Returns what terms define beside themselves, each once, in order of appearance."""
    found = (text for one in terms for part in one.walk() for text in part.definitions)
    return list(dict.fromkeys(found))
