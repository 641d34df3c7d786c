"""How the output is read from the fitted function; its value at the query unless said otherwise."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from ...named import Params
from ..ingredient import Ingredient
from ..letters import Letters
from ..optimizers import OneStep, Optimizer
from ..terms import Term


class Readout(Ingredient):
    """A way to read the memory."""

    family: ClassVar[str] = "readout"
    phrase: ClassVar[str] = "a readout"
    divides: ClassVar[bool] = False  # whether it needs the normalizer

    @abc.abstractmethod
    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        """Turns the memory's value at the query into the output, [..., V].

        Args:
            prediction: the fitted function at the query, [..., V].
            normalizer: what the same fit to the constant value 1 says there, [..., 1]; None for a
                readout that does not divide.
        """

    @abc.abstractmethod
    def written(self, on: Letters, answer: Term) -> Term:
        """Returns the output, from what the memory says of the query."""


class Direct(Readout):
    """Trait: the output is made from the fitted function at the query, and nothing else."""

    phrase: ClassVar[str] = "a readout of the fitted function at the query alone"

    @abc.abstractmethod
    def read(self, prediction: Tensor) -> Tensor:
        """Turns the fitted function at the query into the output, [..., V]."""

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        return self.read(prediction)


class Divides(Readout):
    """Trait: divides by what the same fit says of the constant value 1."""

    phrase: ClassVar[str] = "a readout that divides by the same fit of ones"
    divides: ClassVar[bool] = True

    @abc.abstractmethod
    def divide(self, prediction: Tensor, normalizer: Tensor) -> Tensor:
        """Turns the fitted function and that of ones, [..., V] and [..., 1], into the output."""

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        assert normalizer is not None, f"{self} divides, and has nothing to divide by"
        return self.divide(prediction, normalizer)


class Mixes(Readout):
    r"""Trait: mixes what a fit says with what the sum of the pairs says.

    Where the fit is $R^\top x$ with x from the normal equations of the query, it is read with
    $\phi(q) + \alpha (x - \phi(q))$.
    """

    phrase: ClassVar[str] = "a readout between a fit and the sum of the pairs"

    @abc.abstractmethod
    def share(self, signals: Mapping[str, Tensor]) -> Tensor:
        """Returns alpha, the share of the fit, [..., 1], from the signals of the same tokens."""

    @property
    def beside(self) -> Optimizer:
        """What makes the sum."""
        return OneStep()

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        return prediction


class ReadsBefore(Readout):
    """Trait: reads the memory before forgetting and the newest pair, and adds that pair itself."""

    phrase: ClassVar[str] = "a readout of the memory before the newest pair"

    @abc.abstractmethod
    def newest(self, q: Tensor, k: Tensor, params: Params) -> Tensor:
        """Returns the factor of the newest value in the output, [B, H, T, 1].

        Args:
            q: features of the queries, [B, H, T, F].
            k: features of each token's own key, [B, H, T, F].
            params: the readout's own tensors, head first.
        """

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        return prediction
