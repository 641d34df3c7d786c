"""A power of the error as loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...named import Signals
from ..option import option
from ..terms import PRODUCT, Form, Numeral, Term, Value, ratio
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

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        powers = ((prediction - value).square() + self.eps) ** (self.p / 2)
        loss: Tensor = (powers - self.eps ** (self.p / 2)).sum(-1) / self.p
        return loss

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        residual = prediction - value
        return residual * (residual.square() + self.eps) ** (self.p / 2 - 1)

    def written(self, prediction: Term, value: Term, index: str) -> Term:
        p, eps = Numeral(self.p), Numeral(self.eps)
        half = f"{{{{{self.p / 2:g}}}}}"
        pattern = rf"\sum_n \Big[\big(({{0}})_n^2 + {{1}}\big)^{half} - ({{1}})^{half}\Big]"
        return ratio(Numeral(1.0), p) * Form(
            pattern, _powers, (value - prediction, eps, p), holds=PRODUCT
        )


def _powers(error: Tensor, eps: float, p: float) -> Value:
    """Returns the sum of smoothed powers of an error's coordinates, zero where it is zero."""
    return ((error.square() + eps) ** (p / 2) - eps ** (p / 2)).sum()
