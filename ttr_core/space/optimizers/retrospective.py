"""Optimizers that refit the whole weighted past at every token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Signals
from ..functions import KernelModel, Memory
from ..newton import Objective, newton
from ..option import RIDGES, option
from .base import Retrospective
from .structure import FixedRidge, Sum

if TYPE_CHECKING:
    from ..spec import Spec

SMALLEST_RIDGE = 1e-8


@dataclass(frozen=True)
class Exact(FixedRidge):
    r"""The minimizer itself.

    $$m_t = \arg\min_m \tfrac12 \sum_{i \le t} \gamma_i^{(t)} |v_i - m(k_i)|^2
    + \tfrac{\lambda}{2} |m|^2$$

    With a constant it is the weighted mean (no ridge touches an intercept); with a linear model
    recursive least squares, the mesa-layer. A ridge below 0.1 is solved in float64, whatever the
    inputs; ``ridge=0`` is the minimum-norm solution (intercepts have no norm): slow, with no
    promise for gradients.

    Args:
        ridge: lambda >= 0, in units of |k|^2.

    Reference: Uncovering mesa-optimization algorithms in Transformers (von Oswald et al., 2023)
    https://arxiv.org/abs/2309.05858

    Deviation: the paper's lambda is the inverse of this one.
    """

    ridge: float = option(
        1.0, "strength of the ridge, in units of |k|^2", low=0.0, high=1e6, tune=RIDGES
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ({}, {"ridge": 0.0})

    def objection(self, spec: Spec) -> str | None:
        if 0 < self.ridge < SMALLEST_RIDGE:
            return (
                f"A ridge of {self.ridge:g} is below what float64 resolves: take at least "
                f"{SMALLEST_RIDGE:g}, or 0 for the minimum-norm solution."
            )
        if self.ridge == 0 and isinstance(spec.function, KernelModel):
            return (
                f"Without a ridge {spec.function} passes through every pair, and soon no precision "
                f"tells its answers from rounding: take {self.name} with a ridge of at least "
                f"{SMALLEST_RIDGE:g}."
            )
        return super().objection(spec)

    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        if self.ridge == 0:
            return newton(loss, init, penalty)
        return newton(lambda m: loss(m) + self.ridge / 2 * penalty(m), init)

    def diagonal(self, width: int, intercepts: int, like: Tensor) -> Tensor:
        each = like.new_full((width,), self.ridge)
        each[:intercepts] = 0.0
        return each


@dataclass(frozen=True)
class OneStep(Sum, Retrospective):
    r"""One full-batch gradient step from zero, of size one.

    $$m_t = -\nabla_m \tfrac12 \sum_{i \le t} \gamma_i^{(t)} |v_i - m(k_i)|^2 \Big|_{m = 0}$$

    On a linear model the inverse covariance of least squares is left out: linear attention. A
    network starts from its learned memory in place of zero.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    takes_signed: ClassVar[bool] = True
    by_gradients: ClassVar[bool] = True

    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        gradient = torch.func.grad(loss)(init)
        return {name: init[name] - gradient[name] for name in init}

    def factor(self, signals: Signals) -> Tensor | None:
        return None
