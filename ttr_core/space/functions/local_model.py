"""Polynomials around the query."""

from __future__ import annotations

import abc
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Params
from ..letters import Letters
from ..story import QUERY, STEP, Criterion, Equation, Story, key, now, target
from ..terms import (
    ATOM,
    PRODUCT,
    Form,
    Let,
    Letter,
    Numeral,
    Term,
    Value,
    matrix,
    mean_of,
    outer,
    square,
    total,
)
from .base import MatrixModel, Memory


class LocalModel(MatrixModel):
    r"""Trait: a polynomial around the query, $m(k) = c + M \psi(k - q)$ with $\psi(0) = 0$.

    Its features move with the query, so that each query has a fit of its own, and no memory that
    is fitted around one query serves another. At its center the model is its constant c.
    """

    phrase: ClassVar[str] = "a polynomial centered at the query"
    intercepts: ClassVar[int] = 1
    letter: ClassVar[str] = "m"

    @abc.abstractmethod
    def slopes(self, offset: Tensor) -> Tensor:
        """Returns psi(k - q), what the slopes multiply, [..., K] -> [..., F - 1]."""

    @abc.abstractmethod
    def inner(self, product: Tensor) -> Tensor:
        """Returns psi(a) . psi(b) from the products a . b of two offsets."""

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        assert center is not None, f"{self} has no value before it is centered at a query"
        offset = x - center
        one = torch.ones_like(offset[..., :1])
        return torch.cat([one, self.slopes(offset)], -1) @ memory["S"]

    @abc.abstractmethod
    def written_slopes(self, at: Term) -> Term:
        """Returns psi(k - q)."""

    def written_answer(self, memory: Term, at: Letter) -> Term:
        if at == QUERY:  # its center
            return Form("{0}(q_t) = c_t", _constant, (memory,))
        return _local_constant(memory) + matrix(
            _local_slope(memory), self.written_slopes(at - QUERY)
        )

    def written_norm(self, memory: Term) -> Term:
        return square(_local_slope(memory))

    def summed(self, on: Letters) -> Story:
        if not on.explicit_loss:
            return super().summed(on)
        constant = total(on.gamma * target("i"))
        slope = total(on.gamma * outer(target("i"), self.written_slopes(key("i") - QUERY)))
        updates = (Equation("c", "c_t", constant), Equation("M", "M_t", slope))
        return Story(Criterion(on.fit, on.free, STEP, "local"), updates, _centered())

    def fitted(self, on: Letters, ridge: float) -> Story:
        mean = Let(r"\bar v_t", mean_of(on.gamma, target("i")))
        far = self.far(on)
        joint = total(on.gamma * outer(target("i") - mean, far))
        spread = Let("C_t", total(on.gamma * outer(far, far)))
        gram = spread + Numeral(ridge) * Letter("eye.slopes", "I")
        slope = Form(
            "{0} {1}^{{-1}}" if ridge else "{0} {1}^{{+}}",
            _right_solved if ridge else _right_least,
            (joint, gram),
            (PRODUCT, ATOM),
            PRODUCT,
        )
        read = mean + self.correction(on, now("M", "M_t"))
        updates = (Equation("M", "M_t", slope), Equation("c", "c_t", read))
        goal = replace(self.fit_goal(on, ridge), gives="local")
        return Story(goal, updates, _centered())

    def far(self, on: Letters) -> Term:
        """Returns how far what the slopes multiply lies from its mean, at pair i."""
        own, mean = self._slopes_and_mean(on)
        return own - mean

    def correction(self, on: Letters, slope: Term) -> Term:
        """Returns what the constant has beyond the mean of the values."""
        return -matrix(slope, self._slopes_and_mean(on)[1])

    def _slopes_and_mean(self, on: Letters) -> tuple[Term, Term]:
        own = Let(r"\psi_i", self.written_slopes(key("i") - QUERY))
        return own, Let(r"\bar \psi_t", mean_of(on.gamma, own))


class LineModel(LocalModel):
    r"""Trait: a line around the query, $\psi(k - q) = k - q$.

    Its covariance is that of the keys, whatever the query.
    """

    phrase: ClassVar[str] = "a line around the query"

    def slopes(self, offset: Tensor) -> Tensor:
        return offset

    def inner(self, product: Tensor) -> Tensor:
        return product

    def width(self, key_dim: int) -> int:
        return 1 + key_dim


class ParabolaModel(LocalModel):
    r"""Trait: a parabola around the query, $\psi(a)^\top \psi(b) = a^\top b + (a^\top b)^2$.

    Its features are many and their products cheap, so that wide keys are fitted in the dual.
    """

    phrase: ClassVar[str] = "a parabola around the query"

    def inner(self, product: Tensor) -> Tensor:
        return torch.addcmul(product, product, product)  # in one pass

    def width(self, key_dim: int) -> int:
        return 1 + key_dim + key_dim * (key_dim + 1) // 2


def _right_solved(joint: Tensor, gram: Tensor) -> Value:
    return torch.linalg.solve(gram, joint.mT).mT


def _right_least(joint: Tensor, gram: Tensor) -> Value:
    return joint @ torch.linalg.pinv(gram, atol=1e-18, rtol=1e-12, hermitian=True)


def _local_constant(memory: Term) -> Term:
    return Form("c", _constant, (memory,))


def _local_slope(memory: Term) -> Term:
    return Form("M", _slope, (memory,))


def _constant(memory: Tensor) -> Tensor:
    return memory[0]


def _slope(memory: Tensor) -> Tensor:
    return memory[1:].mT


def _centered() -> Term:
    return Form("m_t(q_t) = {0}", _same, (now("c", "c_t"),))


def _same(x: Tensor) -> Tensor:
    return x
