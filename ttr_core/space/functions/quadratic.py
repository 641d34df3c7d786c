"""A polynomial of degree two around the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..terms import Named, Term
from .local_model import ParabolaModel


@dataclass(frozen=True)
class Quadratic(ParabolaModel):
    r"""A constant, a slope and a curvature around the query: local quadratic regression.

    $$m(k) = c + M \psi(k - q_t), \qquad
    \psi(z) = \big(z,\ (z_a^2)_a,\ (\sqrt2\, z_a z_b)_{a < b}\big)$$

    The factor of the mixed products makes $\psi(z)^\top \psi(z') = z^\top z' + (z^\top z')^2$, so
    that a ridge on M does not depend on the axes, and wide keys are fitted in the dual. A local
    line is biased where the function bends, this one only where its bend changes; with few
    pairs the ridge decides. An infinite one leaves softmax attention.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    local_scale: ClassVar[float] = 2.0  # curvatures reach further than slopes

    def written_slopes(self, at: Term) -> Term:
        where = r"\psi(a)^\top \psi(b) = a^\top b + (a^\top b)^2"
        return Named("slopes", r"\psi({0})", (at,), where)

    def slopes(self, offset: Tensor) -> Tensor:
        rows, columns = torch.triu_indices(offset.shape[-1], offset.shape[-1], 1)
        mixed = 2**0.5 * offset[..., rows] * offset[..., columns]
        return torch.cat([offset, offset.square(), mixed], -1)
