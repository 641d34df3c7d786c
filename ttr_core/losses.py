"""The loss of a regression; squared unless said otherwise."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .ingredient import Ingredient


class Loss(Ingredient):
    """A loss between a prediction and its value."""

    family: ClassVar[str] = "loss"
    phrase: ClassVar[str] = "a loss"

    @abc.abstractmethod
    def __call__(self, prediction: Tensor, value: Tensor) -> Tensor:
        """Returns the loss of each pair, [..., V] -> [...]."""


@dataclass(frozen=True)
class Squared(Loss):
    r"""Half the squared error.

    $$\ell(m(k), v) = \tfrac12 |v - m(k)|^2$$
    """

    notation: ClassVar[str] = r"\tfrac12 |v_i - m(k_i)|^2"

    def __call__(self, prediction: Tensor, value: Tensor) -> Tensor:
        return (value - prediction).square().sum(-1) / 2
