"""Huber's loss: squared up to a threshold, linear beyond."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...named import Signals
from ...stream import Signal
from ..option import option
from ..terms import Form, Letter, Numeral, Term
from .base import Loss

DELTA = Signal(
    "delta", "scalar", "softplus", 1.0, 0.01, 10.0, "size of an error beyond which it counts less"
)


@dataclass(frozen=True)
class Huber(Loss):
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

    def written(self, prediction: Term, value: Term, index: str) -> Term:
        own = Letter("delta", rf"\delta_{index}", (index,))
        delta = own if self.delta is None else Numeral(self.delta)
        return Form(r"\mathrm{{huber}}_{{{0}}}(|{1}|)", _huber, (delta, value - prediction))

    def _threshold(self, like: Tensor, signals: Signals) -> Tensor:
        if self.delta is None:
            return signals["delta"]
        return like.new_full((), self.delta).expand_as(like)


def _huber(delta: Tensor | float, error: Tensor) -> Tensor:
    """Returns half the square of a length up to delta, and its tangent beyond."""
    square = error.square().sum()
    near = square <= delta**2
    length = torch.where(near, 1.0, square).sqrt()
    return torch.where(near, square / 2, delta * (length - delta / 2))
