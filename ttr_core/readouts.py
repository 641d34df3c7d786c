"""How the output is read from the fitted function; its value at the query unless said otherwise."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .ingredient import Ingredient


class Readout(Ingredient):
    """A way to read the memory."""

    family: ClassVar[str] = "readout"
    phrase: ClassVar[str] = "a readout"

    @abc.abstractmethod
    def __call__(self, prediction: Tensor) -> Tensor:
        """Turns the memory's value at the query into the output, [..., V]."""


@dataclass(frozen=True)
class Plain(Readout):
    r"""The fitted function at the query.

    $$y_t = m_t(q_t)$$
    """

    notation: ClassVar[str] = r"m_t(q_t)"

    def __call__(self, prediction: Tensor) -> Tensor:
        return prediction
