"""A gradient step that each feature takes by its own curvature: PGDN and PKDA."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Signal, Stream
from ..fates import Fate
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Equation, Story, before, now, signal, target
from ..terms import SUM, Form, Let, Letter, Numeral, Term, circle, each_squared, outer
from ..weights import Recency
from .rank_one import STEP
from .recurrences import faded_sums
from .structure import Features, HistorySteps, Steps, WrittenSteps, weighed_key, weighed_pair

SQUARES_DECAY = Signal(
    "decay.squares", "scalar", "log_sigmoid", None, -2.0, 0.0,
    "log of the share that is kept of the squared keys",
)  # fmt: skip
SQUARES = Signal("squares", "scalar", "sigmoid", 0.5, 0.01, 1.0, "weight of the newest squared key")
FRESH = -0.2  # where the center starts
EPS = 1e-6  # below the logarithm


@dataclass(frozen=True)
class Preconditioned(WrittenSteps, HistorySteps):
    r"""A gradient step, longer for features that keys have had little of: preconditioned DeltaNet.

    $$A_t = \delta_t A_{t-1} + \mu_t\, \phi(k_t)^{\circ 2}, \qquad
    \rho_t = \log(A_t + 10^{-6}) - c, \qquad M_t = x^{-\rho_t / (1 + |\rho_t|)}$$
    $$S_t = a_t S_{t-1} + \beta_t b_t\, (M_t \circ \phi(k_t))
    \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top$$

    A diagonal estimate of the curvature divides the step, within $[1/x, x]$. Learned: c, one
    number per head. Signals: ``step`` ($\beta_t$), ``squares`` ($\mu_t$) and ``decay.squares``
    ($\log \delta_t$).

    Args:
        base: x, the most by which a feature's step is lengthened or shortened; above 2 steps on
            unit keys could leave the range where they are stable, so that the paper forbids it.

    Reference: Preconditioned DeltaNet: Curvature-aware Sequence Modeling for Linear Recurrences
    (Tumma, Loo and Rus, 2026) https://arxiv.org/abs/2604.21100
    """

    base: float = option(
        1.5, "most by which a step is lengthened; beyond 2 it is not stable", low=1.0, high=2.0
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid
    writes: ClassVar[Fate] = Fate.ANYWHERE

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP, SQUARES_DECAY, SQUARES)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"center": torch.full((heads,), FRESH).requires_grad_()}

    def begin(self, memory: Memory) -> Carried:
        return {"squares": torch.zeros_like(memory["S"][:, 0])}

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        weighed = weighed_key(loss, memory)
        key = weighed / signals["importance"]
        squares = signals["decay.squares"].exp() * state["squares"]
        squares = squares + signals["squares"] * key.square()
        ratio = (squares + EPS).log() - signals["center"].to(key)
        scale = self.base ** (-ratio / (1 + ratio.abs()))
        error = weighed_pair(loss, memory) - torch.outer(weighed, key @ memory["S"])
        moved = signals["step"] * scale[:, None] * error
        return {"S": memory["S"] + moved}, {"squares": squares}

    def resume(
        self, x: Stream, phi: Features, recency: Recency, own: Params, kept: Carried
    ) -> tuple[Steps, Carried]:
        key, gain = phi(x.k), x.signals["step"]
        if recency.importance is not None:
            gain = gain * recency.importance
        start = kept["squares"] if kept else torch.zeros_like(key[:, :, 0])
        writes = x.signals["squares"] * key.square()
        squares = faded_sums(writes, x.signals["decay.squares"], start)
        ratio = (squares + EPS).log() - own["center"].to(key)[:, None, None]
        scale = torch.exp(-math.log(self.base) * ratio / (1 + ratio.abs()))
        return Steps(key, gain * scale * key, x.v), {"squares": squares[:, :, -1]}

    def story(self, on: Letters) -> Story:
        phi, at = on.features(), on.decayed_before
        kept, weight = signal(r"\delta_t", "decay.squares"), signal(r"\mu_t", "squares")
        summed = kept * before("squares", "A_{t-1}") + weight * each_squared(phi)
        ratio = Let(r"\rho_t", _ratio(now("squares", "A_t"), Letter("center", "c")))
        scale = Let("M_t", Form(
            r"{1}^{{-{0} / (1 + |{0}|)}}", _scaled, (ratio, Numeral(self.base))
        ))  # fmt: skip
        rate = signal(r"\beta_t", "step") * on.brought
        error = target("t") - on.function.answer_features(at, phi)
        told = on.moved(rate * outer(circle(scale, phi), error))
        squares = Equation("squares", "A_t", summed, _no_squares)
        return replace(told, update=(*told.update, squares))


def _no_squares(memory: Tensor) -> Tensor:
    return torch.zeros_like(memory[:, 0])


def _ratio(squares: Term, center: Term) -> Term:
    return Form(r"\log({0} + 10^{{-6}}) - {1}", _logged, (squares, center), holds=SUM)


def _logged(squares: Tensor, center: Tensor) -> Tensor:
    return (squares + EPS).log() - center


def _scaled(ratio: Tensor, base: float) -> Tensor:
    scaled: Tensor = base ** (-ratio / (1 + ratio.abs()))
    return scaled
