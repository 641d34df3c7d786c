"""The loss of a regression; squared unless said otherwise."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ...named import Signals
from ..ingredient import Ingredient
from ..terms import HALF, Term, square

if TYPE_CHECKING:
    from ..spec import Spec


class Loss(Ingredient):
    """A loss between a prediction and its value."""

    family: ClassVar[str] = "loss"
    phrase: ClassVar[str] = "a loss"
    curved: ClassVar[bool] = True  # whether its gradient is another than the error

    @abc.abstractmethod
    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        """Returns the loss of each pair, [..., V] -> [...]; each signal is [..., w]."""

    @abc.abstractmethod
    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        """Returns its gradient at the prediction, [..., V]."""

    @abc.abstractmethod
    def written(self, prediction: Term, value: Term, index: str) -> Term:
        """Returns the loss of the pair with this index."""

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(self, QuadraticLoss) and not spec.optimizer.by_gradients:
            return (
                f"{spec.optimizer} counts on a quadratic, and {self} is not half the squared "
                "error: it needs an optimizer that takes gradient steps."
            )
        return super().objection(spec)


class QuadraticLoss(Loss, abc.ABC):
    r"""Trait: $\ell = \tfrac12 |v - m(k)|^2$, so that a fit is least squares.

    Its slope is the error itself, and its curvature the identity.
    """

    phrase: ClassVar[str] = "half the squared error"
    curved: ClassVar[bool] = False

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return (value - prediction).square().sum(-1) / 2

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return prediction - value

    def written(self, prediction: Term, value: Term, index: str) -> Term:
        return HALF * square(value - prediction)
