"""Forms: products of vectors, norms, fits, each with the way it is written."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import (
    ATOM,
    ENTRIES,
    NOTHING,
    ONE,
    PRODUCT,
    SUM,
    ZERO,
    Form,
    Moment,
    Numeral,
    Term,
    Value,
    each,
    times,
)
from .sequence import total


@dataclass(frozen=True)
class Named(Term):
    """A function that the moment knows by name, such as that of the model.

    Args:
        name: what the moment knows it by.
        pattern: as of `Form`.
        arguments: the terms.
        where: its definition in LaTeX.
    """

    name: str
    pattern: str
    arguments: tuple[Term, ...]
    where: str = ""

    @property
    def definitions(self) -> tuple[str, ...]:
        return (self.where,) if self.where else ()

    @property
    def parts(self) -> tuple[Term, ...]:
        return self.arguments

    def tex(self) -> str:
        return self.pattern.format(*(a.tex() for a in self.arguments))

    def value(self, moment: Moment) -> Value:
        return moment.values[self.name](*(a.value(moment) for a in self.arguments))


@dataclass(frozen=True)
class OneFeature(Term):
    """The one feature of a constant, which is 1 and is not written; or its weight."""

    weight: Term = ONE

    @property
    def binds(self) -> int:
        return self.weight.binds

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.weight,)

    def tex(self) -> str:
        return self.weight.tex()

    def value(self, moment: Moment) -> Value:
        return torch.as_tensor(self.weight.value(moment), dtype=torch.float64).reshape(1)


def outer(a: Term, b: Term) -> Term:
    r"""Returns $a b^\top$."""
    if isinstance(a, OneFeature) and isinstance(b, OneFeature):
        return ONE if a.weight == ONE else Form("{{{0}}}^2", _squared, (a.weight,))
    if isinstance(a, OneFeature):
        return a.weight * Form("{0}", _row, (b,), holds=b.binds)
    return Form(r"{0} {1}^\top", torch.outer, (a, b), (ATOM, ATOM), PRODUCT)


def _squared(x: Tensor) -> Tensor:
    return x * x


def _row(b: Tensor) -> Tensor:
    return b[None]


def answer(s: Term, x: Term) -> Term:
    r"""Returns $S^\top x$, what a matrix says of features."""
    if s == NOTHING:
        return ZERO
    if isinstance(x, OneFeature):
        return x.weight * Form("{0}", _first, (s,), holds=s.binds)
    return Form(r"{0}^\top {1}", _answer, (s, x), (ATOM, ATOM), PRODUCT)


def _first(s: Tensor) -> Tensor:
    return s[0]


def _answer(s: Tensor, x: Tensor) -> Tensor:
    return x @ s


def dot(a: Term, b: Term) -> Term:
    r"""Returns $a^\top b$."""
    if isinstance(b, OneFeature):
        return a * b.weight
    return Form(r"{0}^\top {1}", torch.dot, (a, b), (ATOM, PRODUCT), PRODUCT)


def matrix(a: Term, b: Term) -> Term:
    """Returns a matrix times a vector or a matrix."""
    return Form("{0} {1}", torch.matmul, (a, b), (PRODUCT, ATOM), PRODUCT)


def circle(a: Term, b: Term) -> Term:
    r"""Returns $a \circ b$, row by row where b is a matrix."""
    if isinstance(b, OneFeature):
        return OneFeature(a)
    if isinstance(a, OneFeature):
        return times(a.weight, b)
    return Form(r"{0} \circ {1}", _circle, (a, b), (PRODUCT, PRODUCT), ENTRIES)


def each_squared(x: Term) -> Term:
    r"""Returns $x^{\circ 2}$."""
    return ONE if isinstance(x, OneFeature) else Form(r"{0}^{{\circ 2}}", _squared, (x,), (ATOM,))


def rows(b: Term, a: Term) -> Term:
    r"""Returns $\mathbf{1} b^\top$, with as many rows as a has coordinates."""
    if isinstance(a, OneFeature):
        return Form("{0}", _row, (b,), holds=b.binds)
    return Form(r"\mathbf{{1}} {0}^\top", _rows, (b, a), (ATOM, SUM), PRODUCT)


def _rows(b: Tensor, a: Tensor) -> Tensor:
    return b.expand(len(a), -1)


def _circle(a: Tensor, b: Tensor) -> Tensor:
    return a.view(*a.shape, *(1 for _ in range(b.dim() - a.dim()))) * b


def diagonal(a: Term, b: Term) -> Term:
    r"""Returns $\mathrm{Diag}(a)\, b$."""
    if isinstance(a, OneFeature):
        return b
    return Form(r"\mathrm{{Diag}}({0}) {1}", _circle, (a, b), (SUM, ATOM), PRODUCT)


def square(x: Term) -> Term:
    """Returns the squared norm."""
    return ONE if isinstance(x, OneFeature) else Form("|{0}|^2", _square, (x,))


def _square(x: Value) -> Value:
    parts = x.values() if isinstance(x, dict) else (x,)
    return sum((p.square().sum() for p in parts), start=torch.zeros((), dtype=torch.float64))


def inner(a: Term, b: Term) -> Term:
    r"""Returns $\langle a, b \rangle$ of two memories."""
    return Form(r"\langle {0}, {1} \rangle", _inner, (a, b))


def _inner(a: Value, b: Value) -> Value:
    products = each(lambda x, y: (x * y).sum(), a, b)
    return sum(products.values()) if isinstance(products, dict) else products


def halved(ridge: float) -> Term:
    """Returns half a ridge."""
    return Form(r"\tfrac{{{0}}}{{2}}", _half, (Numeral(ridge),))


def mean_of(gamma: Term, one: Term) -> Term:
    """Returns the weighted mean over the pairs so far."""
    return Form(r"{0} \Big/ {1}", operator.truediv, (total(gamma * one), total(gamma)), holds=SUM)


def solved(gram: Term, moment: Term, ridge: float) -> Term:
    """Returns the solution of a system; that of least norm without a ridge."""
    places = (ATOM, PRODUCT)
    if ridge:
        return Form("{0}^{{-1}} {1}", torch.linalg.solve, (gram, moment), places, PRODUCT)
    return Form("{0}^{{+}} {1}", _least, (gram, moment), places, PRODUCT)


def _half(x: float) -> float:
    return x / 2


def _least(gram: Tensor, moment: Tensor) -> Value:
    return torch.linalg.pinv(gram, atol=1e-18, rtol=1e-12, hermitian=True) @ moment
