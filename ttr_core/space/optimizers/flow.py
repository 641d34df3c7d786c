"""The gradient flow of the newest pair's loss, followed exactly: EFLA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals
from ...stream import Signal
from ..functions import FeatureModel, Memory
from ..ingredient import Ingredient
from ..letters import Letters
from ..newton import PairLoss
from ..story import signal
from ..terms import ATOM, Form, Term
from ..terms import square as square_of
from ..weights import RunningWeights
from .rank_one import STEP
from .structure import KeyStep

SMALL = 1e-3  # below it the series is as good as the quotient


@dataclass(frozen=True)
class GradientFlow(KeyStep):
    r"""Follow the gradient of the newest pair's loss for a while, not for a step: EFLA.

    $$\frac{dS}{d\tau} = -\nabla \tfrac{b_t}{2} |v_t - S^\top \phi(k_t)|^2, \quad
    \tau \in [0, \beta_t], \qquad
    S_t = a_t S_{t-1} + \frac{1 - e^{-\beta_t b_t |\phi|^2}}{|\phi|^2}\, \phi(k_t)
    \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top$$

    The differential equation whose Euler step is `SGD`, solved: never beyond the projection,
    stable whatever the keys and however long the flow. On unit keys it is `SGD` at
    $1 - e^{-\beta b}$, so that keys should not be normalized. Signal ``step``: $\beta_t$, the time.

    Reference: Error-Free Linear Attention is a Free Lunch: Exact Solution from Continuous-Time
    Dynamics (Lei, Zhang and Poria, 2025) https://arxiv.org/abs/2512.12602
    """

    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, FeatureModel)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP,)

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        slope = torch.func.grad(loss)
        at = slope(memory)["S"]
        hessian = torch.func.jacrev(slope)(memory)["S"]["S"][:, 0, :, 0]  # alike for every channel
        # dS/dtau = -H S + c as a linear flow of (S - S_0, 1): an exponential of one matrix.
        flow = torch.cat([-hessian, -at], 1)
        flow = torch.nn.functional.pad(flow, (0, 0, 0, at.shape[1]))
        moved = torch.linalg.matrix_exp(signals["step"] * flow)[: len(at), len(at) :]
        return {"S": memory["S"] + moved}, state

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        time = signals["step"] if importance is None else signals["step"] * importance
        return time * shortened(time * square)

    def written_gain(self, on: Letters) -> Term:
        time = signal(r"\beta_t", "step") * on.brought
        length = square_of(on.features())
        return Form(r"\frac{{1 - e^{{-{0}}}}}{{{1}}}", _gain, (time * length, length), holds=ATOM)


def shortened(z: Tensor) -> Tensor:
    """Returns (1 - exp(-z)) / z, 1 at 0, with a slope there."""
    small = z.abs() < SMALL
    safe = torch.where(small, torch.ones_like(z), z)
    return torch.where(small, 1 - z / 2 + z.square() / 6 - z**3 / 24, -torch.expm1(-safe) / safe)


def _gain(length: Tensor, square: Tensor) -> Tensor:
    return -torch.expm1(-length) / square
