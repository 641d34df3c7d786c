"""The plain readout: the fitted function at the query."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..letters import Letters
from ..terms import Term
from .base import Direct


@dataclass(frozen=True)
class Plain(Direct):
    r"""The fitted function at the query.

    $$y_t = m_t(q_t)$$
    """

    def read(self, prediction: Tensor) -> Tensor:
        return prediction

    def written(self, on: Letters, answer: Term) -> Term:
        return answer
