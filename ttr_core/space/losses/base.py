"""The loss of a regression; squared unless said otherwise."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ..ingredient import Ingredient

if TYPE_CHECKING:
    from ..spec import Spec

Signals = Mapping[str, Tensor]


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
