"""The squared loss, which every optimizer takes."""

from __future__ import annotations

from dataclasses import dataclass

from .base import QuadraticLoss


@dataclass(frozen=True)
class Squared(QuadraticLoss):
    r"""Half the squared error.

    $$\ell(m(k), v) = \tfrac12 |v - m(k)|^2$$
    """
