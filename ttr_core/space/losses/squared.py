"""The squared loss, which every optimizer takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Loss, Signals


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
