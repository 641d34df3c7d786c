"""The loss of a regression; squared unless said otherwise."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ..stream import Signal
from .ingredient import Ingredient, option

if TYPE_CHECKING:
    from .spec import Spec

Signals = Mapping[str, Tensor]

DELTA = Signal(
    "delta", "scalar", "softplus", 1.0, 0.01, 10.0, "size of an error beyond which it counts less"
)


class Loss(Ingredient):
    """A loss between a prediction and its value."""

    family: ClassVar[str] = "loss"
    phrase: ClassVar[str] = "a loss"

    @abc.abstractmethod
    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        """Returns the loss of each pair, [..., V] -> [...]; each signal is [..., w]."""

    @abc.abstractmethod
    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        """Returns its gradient at the prediction, [..., V]."""


class CurvedLoss(Loss):
    """Trait: a loss that is not half the squared error, so that only its gradient is of use."""

    phrase: ClassVar[str] = "a loss of which only the gradient is used"

    def objection(self, spec: Spec) -> str | None:
        if not spec.optimizer.by_gradients:
            return (
                f"{spec.optimizer} counts on a quadratic, and {self} is not half the squared "
                "error: it needs an optimizer that takes gradient steps."
            )
        return super().objection(spec)


@dataclass(frozen=True)
class Squared(Loss):
    r"""Half the squared error.

    $$\ell(m(k), v) = \tfrac12 |v - m(k)|^2$$
    """

    notation: ClassVar[str] = r"\tfrac12 |v_i - m(k_i)|^2"

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return (value - prediction).square().sum(-1) / 2

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return prediction - value


@dataclass(frozen=True)
class Huber(CurvedLoss):
    r"""Half the squared error up to a threshold, then linear: an outlier pulls no harder.

    $$\ell = \tfrac12 |r|^2 \ \text{where}\ |r| \le \delta, \qquad
    \delta (|r| - \tfrac{\delta}{2}) \ \text{beyond}, \qquad r = m(k) - v$$

    |r| is the length of the vector, so that its gradient is r cut to the length delta. Signal
    ``delta`` where each token chooses.

    Args:
        delta: the threshold, in units of |v|; none: each token's own.

    Reference: It's All Connected: A Journey Through Test-Time Memorization, Attentional Bias,
    Retention, and Online Optimization (Behrouz et al., 2025) https://arxiv.org/abs/2504.13173
    """

    delta: float | None = option(None, "threshold of |r|; none: each token's own", 1e-6, 1e9)
    notation: ClassVar[str] = r"\mathrm{huber}_{\delta_i}(|v_i - m(k_i)|)"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (DELTA,) if self.delta is None else ()

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        square = (prediction - value).square().sum(-1)
        delta = self._threshold(square[..., None], signals)[..., 0]
        far = square > delta.square()
        length = torch.where(far, square, 1.0).sqrt()  # no root of zero, whose slope is infinite
        return torch.where(far, delta * (length - delta / 2), square / 2)

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        residual = prediction - value
        square = residual.square().sum(-1, keepdim=True)
        delta = self._threshold(square, signals)
        far = square > delta.square()
        return residual * torch.where(far, delta * torch.where(far, square, 1.0).rsqrt(), 1.0)

    def _threshold(self, like: Tensor, signals: Signals) -> Tensor:
        if self.delta is None:
            return signals["delta"]
        return like.new_full((), self.delta).expand_as(like)


@dataclass(frozen=True)
class Lp(CurvedLoss):
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
        return (powers - self.eps ** (self.p / 2)).sum(-1) / self.p

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        residual = prediction - value
        return residual * (residual.square() + self.eps) ** (self.p / 2 - 1)


@dataclass(frozen=True)
class DotProduct(CurvedLoss):
    r"""The value's own direction is rewarded, and no error is measured.

    $$\ell(m(k), v) = -v^\top m(k)$$

    Its gradient does not depend on the answer: a step on a linear model is `Hebbian`.

    Reference: Test-Time Training Done Right (Zhang et al., 2025) https://arxiv.org/abs/2505.23884
    """

    notation: ClassVar[str] = r"-v_i^\top m(k_i)"

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return -(value * prediction).sum(-1)

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return -value.expand_as(prediction)
