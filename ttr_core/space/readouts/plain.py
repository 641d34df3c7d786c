"""The plain readout: the fitted function at the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Direct


@dataclass(frozen=True)
class Plain(Direct):
    r"""The fitted function at the query.

    $$y_t = m_t(q_t)$$
    """

    notation: ClassVar[str] = r"m_t(q_t)"

    def read(self, prediction: Tensor) -> Tensor:
        return prediction
