"""A toy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..letters import Letters
from ..terms import HALF, Term
from .base import Direct


@dataclass(frozen=True)
class ToyHalf(Direct):
    r"""Half of what the memory says.

    $$y_t = m_t(q_t) / 2$$

    Reference: A toy (Nobody, 2026) https://example.org
    """

    def read(self, prediction: Tensor) -> Tensor:
        return prediction / 2

    def written(self, on: Letters, answer: Term) -> Term:
        return HALF * answer
