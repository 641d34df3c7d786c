"""Readouts that divide by a sum of weighted features."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..functions import FeatureModel
from ..ingredient import having
from ..letters import Letters
from ..optimizers import Sum
from ..option import option
from ..terms import Form, Let, Numeral, Term, dot
from .base import Divides

if TYPE_CHECKING:
    from ..spec import Spec


@dataclass(frozen=True)
class Normalized(Divides):
    r"""The fitted function divided by what the same fit says of the constant value 1.

    $$y_t = \frac{S_t^\top \phi(q_t)}{f(z_t^\top \phi(q_t))}, \qquad
    z_t = \sum_{i \le t} \gamma_i^{(t)} \phi(k_i)$$

    Under positive features a weighted mean of the values: a constant fitted exactly under the
    kernel $\phi(q)^\top \phi(k)$. Under features of either sign $z_t^\top \phi(q_t)$ crosses zero;
    only ``abs1`` is safe then.

    Args:
        floor: f, what keeps the divisor from zero: $x + \epsilon$ (``eps``),
            $\max(x, \epsilon)$ (``clamp``) or $\max(|x|, 1)$ (``abs1``: mLSTM).
        eps: epsilon, in units of |phi|^2; ``abs1`` has none.

    Reference: Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention
    (Katharopoulos et al., 2020) https://arxiv.org/abs/2006.16236
    """

    floor: str = option("eps", "what keeps the divisor from zero", choices=("eps", "clamp", "abs1"))
    eps: float = option(1e-6, "added to the divisor, or its least value", low=0.0, high=1e3)

    def divide(self, prediction: Tensor, normalizer: Tensor) -> Tensor:
        if self.floor == "eps":
            return prediction / (normalizer + self.eps)
        if self.floor == "clamp":
            return prediction / normalizer.clamp_min(self.eps)
        return prediction / normalizer.abs().clamp_min(1.0)

    def written(self, on: Letters, answer: Term) -> Term:
        mass, least = dot(Let("z_t", on.mass), on.query), Numeral(self.eps)
        if self.floor == "eps":
            below = mass + least
        elif self.floor == "clamp":
            below = Form(r"\max({0}, {1})", torch.clamp_min, (mass, least))
        else:
            below = Form(r"\max(|{0}|, 1)", _at_least_1, (mass,))
        return Form(r"\frac{{{0}}}{{{1}}}", operator.truediv, (answer, below))

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.optimizer, Sum):
            return (
                f"{self.name} divides by the sum of the weighted features, and the memory of "
                f"{spec.optimizer} is no such sum: it needs {Sum.phrase}, {having(Sum)}."
            )
        if not isinstance(spec.function, FeatureModel):
            return f"{self.name} needs {FeatureModel.phrase}; {spec.function} is not."
        if spec.function.negative and self.floor != "abs1":
            return (
                f"{self.name} divides by a sum of weights, and under {spec.function} that sum "
                f"crosses zero: {spec.function.negative}. Take an even degree, or floor=abs1."
            )
        return super().objection(spec)


def _at_least_1(total: Tensor) -> Tensor:
    return total.abs().clamp_min(1.0)
