"""A toy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals
from ..functions import Memory
from ..letters import Letters
from ..newton import Objective
from ..option import option
from ..terms import Numeral, Term
from .structure import KeyStep


@dataclass(frozen=True)
class ToyStep(KeyStep):
    r"""A gradient step whose size nobody learns.

    $$S_t = a_t S_{t-1} + \eta b_t\, \phi(k_t) \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top$$

    Args:
        eta: the size of the step.

    Reference: A toy (Nobody, 2026) https://example.org
    """

    eta: float = option(0.5, "size of the step", low=0.01, high=1.0)
    by_gradients: ClassVar[bool] = True

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient = torch.func.grad(loss)(memory)
        return {name: memory[name] - self.eta * gradient[name] for name in memory}, state

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        size = square.new_full((), self.eta).expand_as(square)
        return size if importance is None else size * importance

    def written_gain(self, on: Letters) -> Term:
        return Numeral(self.eta) * on.brought
