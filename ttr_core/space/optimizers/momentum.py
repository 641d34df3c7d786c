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
from ..terms import ONE
from .base import faded
from .rank_one import STEP, bounded
from .structure import MomentumStep

MOMENTUM = Signal(
    "momentum", "scalar", "sigmoid", 0.5, 0.0, 0.95, "share of the last step that is repeated"
)

PUSH = Signal(
    "push", "scalar", "sigmoid", 0.5, 0.01, 1.0, "share of the momentum that moves the memory"
)


@dataclass(frozen=True)
class Momentum(MomentumStep):
    r"""A gradient step on the newest pair that goes on for a while: the memory of Titans.

    $$Z_t = \eta_t Z_{t-1} - \theta_t \nabla \tfrac{b_t}{2} |v_t - \hat m(k_t)|^2, \qquad
    m_t = a_t m_{t-1} + c_t Z_t$$

    Forgetting shrinks the memory and leaves the momentum Z alone. A surprise is written over the
    next $1 / (1 - \eta)$ tokens, so the lasting step is $\theta / (1 - \eta)$; at $\eta = 0$ it is
    `SGD`. Signals: ``step`` ($\theta_t$), ``momentum`` ($\eta_t$) and, if asked for, ``push``
    ($c_t$, else 1).

    Args:
        residual: whether the gradient is taken at the memory before forgetting (``undecayed``:
            Titans) or after it (``decayed``: Gated DeltaNet).
        push_by: whether the memory moves by the whole momentum (``whole``: Titans) or by a share
            of it that each token chooses (``token``: Momentum DeltaNet).
        link: what bounds the step: ``sigmoid`` by 1, ``twice_sigmoid`` by 2.

    Reference: Titans: Learning to Memorize at Test Time (Behrouz, Zhong and Mirrokni, 2024)
    https://arxiv.org/abs/2501.00663

    Deviation: the paper's loss is twice this one, so that its step is half of theta; it takes the
    gradients of a chunk at the memory before the chunk, here each at the token before.
    """

    residual: str = option(
        "undecayed", "memory at which the gradient is taken", choices=("undecayed", "decayed")
    )
    push_by: str = option(
        "whole", "by how much of the momentum the memory moves", choices=("whole", "token"), since=2
    )
    link: str = option(
        "sigmoid", "what bounds the step", choices=("sigmoid", "twice_sigmoid"), since=2
    )
    by_gradients: ClassVar[bool] = True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (bounded(STEP, self.link), MOMENTUM, *((PUSH,) if self.pushed else ()))

    @property
    def pushed(self) -> bool:
        """Whether each token chooses how far the momentum moves the memory."""
        return self.push_by == "token"

    @property
    def reads_undecayed(self) -> bool:
        return self.residual == "undecayed"

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor:
        return signals["step"] if importance is None else signals["step"] * importance

    def share(self, signals: Signals) -> Tensor:
        return signals["momentum"]

    def push(self, signals: Signals) -> Tensor | None:
        return signals["push"] if self.pushed else None

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
        push = signals["push"] if self.pushed else 1.0
        return {name: memory[name] + push * moved[name] for name in memory}, after

    def story(self, on: Letters) -> Story:
        at = on.before if self.reads_undecayed else on.decayed_before
        rate = signal(r"\theta_t", "step") * on.brought
        push = signal("c_t", "push") if self.pushed else ONE
        return on.going_on(signal(r"\eta_t", "momentum"), rate, at, on.toward(rate, at), push)
