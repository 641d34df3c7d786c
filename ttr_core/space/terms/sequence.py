"""Terms over the tokens of a sequence: sums, products, past values, gradients of a pair's loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from .base import ATOM, PRODUCT, Let, Moment, Term, Value, each


@dataclass(frozen=True)
class Over(Term):
    r"""A sum or a product over an index, $\sum_{i \le t}$ or $\prod_{j=i+1}^{t}$."""

    sign: str
    index: str
    first: Callable[[Mapping[str, int]], int]
    body: Term

    SUM_UP_TO_T: ClassVar[str] = r"\sum_{i \le t}"
    SUM_OF_NEWEST: ClassVar[str] = r"\sum_{i = \max(1, t - %d)}^{t}"
    PRODUCT_SINCE_I: ClassVar[str] = r"\prod_{j=i+1}^{t}"

    @property
    def binds(self) -> int:
        return PRODUCT

    @property
    def stands_last(self) -> bool:
        return True

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.body,)

    def tex(self) -> str:
        return f"{self.sign} {self.body.within(PRODUCT)}"

    def value(self, moment: Moment) -> Value:
        every = range(self.first(moment.indices), moment.indices["t"] + 1)
        values = [self.body.value(moment.at(**{self.index: n})) for n in every]
        if self.sign == self.PRODUCT_SINCE_I:
            return math.prod(values, start=torch.ones((), dtype=torch.float64))
        total = values[0]
        for value in values[1:]:
            total = each(lambda a, b: a + b, total, value)
        return total


def total(body: Term) -> Term:
    """Returns the sum over the pairs so far."""
    return Over(Over.SUM_UP_TO_T, "i", _one, body)


def newest(body: Term, count: int) -> Term:
    """Returns the sum over the newest pairs, so many of them."""
    if count == 1:
        return Over(r"\sum_{i = t}", "i", partial(_first_of, count=1), body)
    return Over(Over.SUM_OF_NEWEST % (count - 1), "i", partial(_first_of, count=count), body)


def since(body: Term) -> Term:
    """Returns the product over the tokens after pair i."""
    return Over(Over.PRODUCT_SINCE_I, "j", _after, body)


def _one(indices: Mapping[str, int]) -> int:
    return 1


def _first_of(indices: Mapping[str, int], count: int) -> int:
    return max(1, indices["t"] - count + 1)


def _after(indices: Mapping[str, int]) -> int:
    return indices["i"] + 1


@dataclass(frozen=True)
class Earlier(Term):
    """The value of a letter at an earlier token.

    Args:
        name: the letter's name.
        written: it in LaTeX.
        token: the number of that token, 0 before the first.
    """

    name: str
    written: str
    token: Term

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.token,)

    def tex(self) -> str:
        return self.written

    def value(self, moment: Moment) -> Value:
        return moment.values[f"past.{self.name}"][self.token.value(moment)]


@dataclass(frozen=True)
class Repeat(Term):
    """A letter after several steps, j = 1 to n.

    Args:
        letter: in LaTeX, with a place for the number of the step.
        last: the name by which a step knows the one before it.
        first: what step 0 is.
        step: what step j is.
        count: n.
    """

    letter: str
    last: str
    first: Term
    step: Term
    count: int

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.first, self.step)

    def tex(self) -> str:
        return self.letter.format(self.count)

    @property
    def definitions(self) -> tuple[str, ...]:
        one, start = self.letter.format("j"), self.letter.format(0)
        return (f"{one} = {self.step.tex()}", f"{start} = {self.first.tex()}")

    def value(self, moment: Moment) -> Value:
        value = self.first.value(moment)
        for j in range(1, self.count + 1):
            value = self.step.value(moment.at(j=j).having(self.last, value))
        return value


@dataclass(frozen=True)
class Slope(Term):
    r"""The gradient of a loss at a memory, $\nabla \ell_t(m)$.

    Args:
        loss: the loss, a letter that is defined as a function of the memory.
        at: where.
        free: the name of the memory in the loss.
    """

    loss: Let
    at: Term
    free: str

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.loss, self.at)

    def tex(self) -> str:
        return rf"\nabla {self.loss.tex()}({self.at.tex()})"

    def value(self, moment: Moment) -> Value:
        def loss(memory: Value) -> Value:
            return self.loss.value(moment.having(self.free, memory))

        return torch.func.grad(loss)(self.at.value(moment))


@dataclass(frozen=True)
class Stack(Term):
    """What a term is for every pair so far, one below the other."""

    body: Term
    bare: bool

    @property
    def binds(self) -> int:
        return self.body.binds if self.bare else ATOM

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.body,)

    def tex(self) -> str:
        return self.body.tex() if self.bare else rf"({self.body.tex()})_{{i \le t}}"

    def value(self, moment: Moment) -> Value:
        pairs = range(1, moment.indices["t"] + 1)
        rows = (self.body.value(moment.at(i=i)) for i in pairs)
        return torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in rows])


def stacked(body: Term, bare: bool = False) -> Term:
    """Returns what a term is for every pair; ``bare`` where the index is already on the left."""
    return Stack(body, bare)
