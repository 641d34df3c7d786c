"""A toy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Direct


@dataclass(frozen=True)
class ToyHalf(Direct):
    r"""Half of what the memory says.

    $$y_t = m_t(q_t) / 2$$

    Reference: A toy (Nobody, 2026) https://example.org
    """

    notation: ClassVar[str] = r"m_t(q_t) / 2"

    def read(self, prediction: Tensor) -> Tensor:
        return prediction / 2
