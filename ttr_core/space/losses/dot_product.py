"""The loss of a plain write: no error is measured."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...named import Signals
from ..terms import Term, dot
from .base import Loss


@dataclass(frozen=True)
class DotProduct(Loss):
    r"""The value's own direction is rewarded, and no error is measured.

    $$\ell(m(k), v) = -v^\top m(k)$$

    Its gradient does not depend on the answer: a step on a linear model is `Hebbian`.

    Reference: Test-Time Training Done Right (Zhang et al., 2025) https://arxiv.org/abs/2505.23884
    """

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return -(value * prediction).sum(-1)

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return -value.expand_as(prediction)

    def written(self, prediction: Term, value: Term, index: str) -> Term:
        return -dot(value, prediction)
