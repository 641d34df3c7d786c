"""Polynomials around the query, from the constant up."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import ClassVar

from ..letters import Letters
from ..story import QUERY, Criterion, Equation, Story, key
from ..terms import SUM, Form, Let, Letter, OneFeature, Term, matrix, mean_of, outer, total
from .base import ConstantModel
from .local_model import LineModel


@dataclass(frozen=True)
class Constant(ConstantModel):
    r"""One vector for all keys, a local constant under kernel weights.

    $$m(k) = c, \qquad c \in \mathbb{R}^V$$

    Fitted exactly it is the weighted mean of the values (Nadaraya-Watson): softmax attention
    under `ExpKernel`. Its one coefficient is an intercept, so no ridge shrinks it.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    letter: ClassVar[str] = "c"

    def written_features(self, at: Letter) -> Term:
        return OneFeature()

    def fitted(self, on: Letters, ridge: float) -> Story:
        on = on.proportional  # no ridge stands beside the weights of a mean
        gamma, phi = on.weighed
        below = total(gamma * outer(phi, phi))
        mean = Form(r"{0} \Big/ {1}", operator.truediv, (on.sum, below), holds=SUM)
        goal = Criterion(on.fit, on.free)  # an intercept has no norm
        return Story(goal, (Equation("memory", "c_t", mean),), self.written_answer(on.now, QUERY))


@dataclass(frozen=True)
class Affine(LineModel):
    r"""A constant and a slope around the query: local linear regression.

    $$m(k) = c + M (k - q_t), \qquad c \in \mathbb{R}^V,\ M \in \mathbb{R}^{V \times K}$$

    Fitted exactly, the output is the weighted mean of the values corrected for where the query
    lies among the keys; under `ExpKernel` this is local linear attention. A ridge shrinks the slope
    and never the constant: an infinite one leaves softmax attention. One step from zero never
    reads its slope, and is that of a `Constant`.

    Reference: Local Linear Attention: An Optimal Interpolation of Linear and Softmax Attention for
    Test-Time Regression (Zuo et al., 2025) https://arxiv.org/abs/2510.01450
    """

    def written_slopes(self, at: Term) -> Term:
        return at

    def far(self, on: Letters) -> Term:
        return key("i") - self._mean_key(on)

    def correction(self, on: Letters, slope: Term) -> Term:
        return matrix(slope, QUERY - self._mean_key(on))

    def _mean_key(self, on: Letters) -> Term:
        return Let(r"\bar k_t", mean_of(on.gamma, key("i")))
