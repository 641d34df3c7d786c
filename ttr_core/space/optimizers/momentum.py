"""Gradient steps with momentum: linear Titans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals
from ...stream import Signal
from ..functions import Memory
from ..letters import Letters
from ..newton import Objective
from ..option import option
from ..story import Story, signal
from .base import faded
from .rank_one import STEP
from .structure import MomentumStep

MOMENTUM = Signal(
    "momentum", "scalar", "sigmoid", 0.5, 0.0, 0.95, "share of the last step that is repeated"
)


@dataclass(frozen=True)
class Momentum(MomentumStep):
    r"""A gradient step on the newest pair that goes on for a while: the memory of Titans.

    $$Z_t = \eta_t Z_{t-1} - \theta_t \nabla \tfrac{b_t}{2} |v_t - \hat m(k_t)|^2, \qquad
    m_t = a_t m_{t-1} + Z_t$$

    Forgetting shrinks the memory and leaves the momentum Z alone. A surprise is written over the
    next $1 / (1 - \eta)$ tokens, so the lasting step is $\theta / (1 - \eta)$; at $\eta = 0$ it is
    `SGD`. Signals: ``step`` ($\theta_t$) and ``momentum`` ($\eta_t$).

    Args:
        residual: whether the gradient is taken at the memory before forgetting (``undecayed``:
            Titans) or after it (``decayed``: Gated DeltaNet).

    Reference: Titans: Learning to Memorize at Test Time (Behrouz, Zhong and Mirrokni, 2024)
    https://arxiv.org/abs/2501.00663

    Deviation: the paper's loss is twice this one, so that its step is half of theta; it takes the
    gradients of a chunk at the memory before the chunk, here each at the token before.
    """

    residual: str = option(
        "undecayed", "memory at which the gradient is taken", choices=("undecayed", "decayed")
    )
    by_gradients: ClassVar[bool] = True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP, MOMENTUM)

    @property
    def reads_undecayed(self) -> bool:
        return self.residual == "undecayed"

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor:
        return signals["step"] if importance is None else signals["step"] * importance

    def share(self, signals: Signals) -> Tensor:
        return signals["momentum"]

    def begin(self, memory: Memory) -> Carried:
        return {f"momentum.{name}": torch.zeros_like(m) for name, m in memory.items()}

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return faded(memory, decay), state

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient = torch.func.grad(loss)(previous if self.reads_undecayed else memory)
        step, kept = signals["step"], signals["momentum"]
        moved = {n: kept * state[f"momentum.{n}"] - step * gradient[n] for n in memory}
        after = {f"momentum.{name}": z for name, z in moved.items()}
        return {name: memory[name] + moved[name] for name in memory}, after

    def story(self, on: Letters) -> Story:
        at = on.before if self.reads_undecayed else on.decayed_before
        rate = signal(r"\theta_t", "step") * on.brought
        return on.going_on(signal(r"\eta_t", "momentum"), rate, at, on.toward(rate, at))
