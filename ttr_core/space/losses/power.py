"""A power of the error as loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...named import Signals
from ..option import option
from .base import Loss


@dataclass(frozen=True)
class Lp(Loss):
    r"""A power of the error, smooth at zero.

    $$\ell = \tfrac1p \sum_j \big((r_j^2 + \epsilon)^{p/2} - \epsilon^{p/2}\big), \qquad
    r = m(k) - v$$

    Its gradient is $r_j (r_j^2 + \epsilon)^{p/2 - 1}$. p = 2 is the squared error; above it large
    errors dominate, below it small ones.

    Args:
        p: the power.
        eps: epsilon, in units of v^2.

    Reference: It's All Connected: A Journey Through Test-Time Memorization, Attentional Bias,
    Retention, and Online Optimization (Behrouz et al., 2025) https://arxiv.org/abs/2504.13173

    Deviation: the paper multiplies by p and smooths the sign of r by tanh(a r).
    """

    p: float = option(3.0, "the power", low=1.0, high=8.0)
    eps: float = option(1e-6, "smooths the power at zero, in units of v^2", low=1e-12, high=1.0)
    notation: ClassVar[str] = r"\tfrac1p |v_i - m(k_i)|_p^p"

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        powers = ((prediction - value).square() + self.eps) ** (self.p / 2)
        loss: Tensor = (powers - self.eps ** (self.p / 2)).sum(-1) / self.p
        return loss

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        residual = prediction - value
        return residual * (residual.square() + self.eps) ** (self.p / 2 - 1)
