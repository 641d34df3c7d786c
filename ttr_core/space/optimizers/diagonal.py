"""Steps on the newest pair that move every feature by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...named import Carried, Signals
from ...stream import Signal
from ..functions import Memory
from ..letters import Letters
from ..newton import Objective
from ..story import Criterion, Story, signal, target
from ..terms import HALF, Let, Slope, circle, diagonal, each_squared, outer, rows, square
from .rank_one import PROXIMAL_STEP
from .structure import Diagonal, DiagonalStep


@dataclass(frozen=True)
class DiagonalImplicit(DiagonalStep):
    r"""The proximal step with the diagonal of its Hessian alone: Longhorn as shipped.

    $$S_t = (1 - \Delta_t\, \phi(k_t)^{\circ 2}) \circ a_t S_{t-1} + \Delta_t\, \phi(k_t) v_t^\top,
    \qquad \Delta_t = \frac{\delta_t b_t}{1 + \delta_t b_t |\phi(k_t)|^2}$$

    Each feature forgets by its own share of the newest key, so that the recurrence is elementwise,
    a decay per feature. Equal to `Implicit` on keys with one feature that is not zero, and far
    from it on generic keys. Signal ``step``: $\delta_t$.

    Reference: Longhorn: State Space Models are Amortized Online Learners (Liu et al., 2024)
    https://arxiv.org/abs/2407.14207

    Deviation: one step per head, where the paper has one per value channel (heads of one value
    channel give it).
    """

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (PROXIMAL_STEP,)

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        slope = torch.func.grad(loss)
        start = slope({"S": torch.zeros_like(memory["S"])})["S"]  # -b phi v^T
        hessian = torch.func.jacrev(slope)(memory)["S"]["S"]  # (F V F V)
        diagonal = hessian[:, 0, :, 0].diagonal()  # b phi^2, alike for every channel of the value
        delta = signals["step"].squeeze()
        step = delta / (1 + delta * diagonal.sum())
        return {"S": memory["S"] - step * (diagonal[:, None] * memory["S"] + start)}, state

    def shrinkage(self, phi: Tensor, importance: Tensor | None, signals: Signals) -> Diagonal:
        delta = signals["step"] if importance is None else signals["step"] * importance
        square = phi.square()
        total = square.sum(-1, keepdim=True)
        # log(1 - Delta phi^2) without the cancellation that a large step on a sparse key brings.
        others = (total - square).clamp_min(0)
        kept = torch.log1p(delta * others) - torch.log1p(delta * total)
        return Diagonal(kept, delta / (1 + delta * total))

    def story(self, on: Letters) -> Story:
        phi, v = on.features(), target("t")
        delta = signal(r"\delta_t", "step") * on.brought
        step = Let(r"\Delta_t", delta / (1 + delta * square(phi)))
        kept = circle(1 - step * each_squared(phi), on.decayed_before)
        alone = HALF * square(rows(v, phi) - diagonal(phi, on.free))  # each feature by itself
        slope = Slope(on.named_loss(alone, r"\ell_t"), on.decayed_before, on.free.name)
        goal = Criterion(on.near(on.decayed_before, step, slope), on.free)
        return on.running(goal, kept + step * outer(phi, v))
