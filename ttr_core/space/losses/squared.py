"""The squared loss, which every optimizer takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import QuadraticLoss


@dataclass(frozen=True)
class Squared(QuadraticLoss):
    r"""Half the squared error.

    $$\ell(m(k), v) = \tfrac12 |v - m(k)|^2$$
    """

    notation: ClassVar[str] = r"\tfrac12 |v_i - m(k_i)|^2"
