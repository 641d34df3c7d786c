"""Least squares carried from token to token, with a ridge that forgetting discounts too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals
from ..functions import KernelModel, LinearModel, Memory
from ..ingredient import Ingredient
from ..letters import Letters
from ..losses import QuadraticLoss
from ..newton import Objective
from ..option import RIDGES, option
from ..story import Criterion, Equation, Story, before, key, nothing, now, target
from ..terms import (
    HALF,
    ONE,
    Form,
    Index,
    Let,
    Letter,
    Numeral,
    Term,
    halved,
    matrix,
    outer,
    since,
    solved,
    square,
    total,
)
from ..weights import RunningWeights
from .structure import FadingRidge

if TYPE_CHECKING:
    from ..spec import Spec


@dataclass(frozen=True)
class RLS(FadingRidge):
    r"""Recursive least squares with forgetting: the ridge fades with the pairs.

    $$G_t = a_t G_{t-1} + b_t\, \phi(k_t) \phi(k_t)^\top, \qquad
    R_t = a_t R_{t-1} + b_t\, \phi(k_t) v_t^\top, \qquad
    S_t = (G_t + \lambda \Lambda_t)^{-1} R_t$$

    Forgetting discounts these sums and leaves the memory S alone. Without decays $\Lambda_t = I$
    and this is `Exact`. With them the textbook's $\Lambda_t = a_t \Lambda_{t-1}$ winds up: where no
    key points, the inverse grows by $1 / a$ per token and leaves float32 after 842 tokens at
    a = 0.9. Two guards keep $\Lambda_t$ between ``floor`` and 1: one axis per token, in turn, is
    restored to 1, so that none fades for longer than the F tokens of a turn; and no decay is
    taken below ``floor`` to the power 1 / F (0.9 for 64 features), which slows down faster
    forgetting. Both are steps of rank one or none, so that chunks have an exact form.

    Args:
        ridge: lambda > 0, in units of |phi|^2.
        floor: the least share of the ridge that forgetting leaves on any axis.

    Reference: Uncovering mesa-optimization algorithms in Transformers (von Oswald et al., 2023)
    https://arxiv.org/abs/2309.05858

    Deviation: the paper's lambda is the inverse of this one, and its ridge is never restored.
    """

    ridge: float = option(
        1.0, "strength of the ridge, in units of |phi|^2", low=1e-8, high=1e6, tune=RIDGES
    )
    floor: float = option(1e-3, "least share of the ridge on any axis", low=1e-9, high=0.5)
    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, LinearModel)
    discounts: ClassVar[bool] = True

    def objection(self, spec: Spec) -> str | None:
        if isinstance(spec.function, KernelModel):
            return (
                f"{self.name} keeps a matrix of all features by all, and those of {spec.function} "
                "grow with every pair: take Exact, whose fit it is where nothing fades."
            )
        if reason := super().objection(spec):
            return reason
        assert isinstance(spec.function, LinearModel)
        if spec.function.intercepts:
            return (
                f"{self.name} carries a ridge along, and none shrinks the intercept of "
                f"{spec.function}: take Exact, which needs none there."
            )
        if spec.weights.per_feature:
            return (
                f"{self.name} discounts its sums by one number per token; under {spec.weights} the "
                "ridge would fade at a rate of its own in every pair of features: take Exact, or "
                "one decay per token."
            )
        if not isinstance(spec.loss, QuadraticLoss):
            return f"{self.name} carries the sums of the squared loss; {spec.loss} has none."
        return None

    def least_log_decay(self, features: int) -> float:
        # What reaches the floor in a turn of all axes.
        return math.log(self.floor) / features

    def tokens_to(self, left: float, features: int) -> int:
        return max(1, int(math.log(left) / self.least_log_decay(features)))

    def begin(self, memory: Memory) -> Carried:
        s = memory["S"]
        share = s.new_ones(s.shape[0])
        return {"G": torch.diag(0 * share), "R": 0 * s, "share": share, "axis": s.new_zeros(1)}

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        features = len(state["share"])
        kept = decay.clamp_min(math.exp(self.least_log_decay(features)))
        restored = torch.arange(features, device=kept.device) == state["axis"]
        after = {
            "G": kept * state["G"],
            "R": kept * state["R"],
            "share": torch.where(restored, 1.0, kept * state["share"]),
            "axis": (state["axis"] + 1) % features,
        }
        return memory, after

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        slope, zero = torch.func.grad(loss), {"S": torch.zeros_like(memory["S"])}
        hessian = torch.func.jacrev(slope)(zero)["S"]["S"]  # (F V F V)
        gram = state["G"] + hessian[:, 0, :, 0]  # b phi phi^T, alike for every channel
        moment = state["R"] - slope(zero)["S"]
        fitted = torch.linalg.solve(gram + self.ridge * torch.diag(state["share"]), moment)
        return {"S": fitted}, state | {"G": gram, "R": moment}

    def story(self, on: Letters) -> Story:
        kept = self._kept(on, "t")
        phi, ridge = on.features(), Numeral(self.ridge)
        gram = kept * before("G", "G_{t-1}") + on.brought * outer(phi, phi)
        moment = kept * before("R", "R_{t-1}") + on.brought * outer(phi, target("t"))
        share: Term = Letter("eye.F", "I")
        norm, others = square(on.free), list[Equation]()
        if on.weights.fades:
            share = now("share", r"\Lambda_t")
            norm = square(matrix(Form(r"{0}^{{1/2}}", torch.sqrt, (share,)), on.free))
            turn = r"{0} \text{{ with axis }} ({1} - 1) \bmod F \text{{ at }} 1"
            left = (kept * before("share", r"\Lambda_{t-1}"), Index("t"))
            others = [Equation("share", r"\Lambda_t", Form(turn, _restored, left), _diagonal)]
        solution = solved(now("G", "G_t") + ridge * share, now("R", "R_t"), self.ridge)
        sums = (Equation("G", "G_t", gram, _empty), Equation("R", "R_t", moment, nothing))
        error = square(target("i") - on.function.written_answer(on.free, key("i")))
        gamma = on.weights.brought("i")
        if on.weights.fades:
            gamma = Let(r"\gamma_i^{(t)}", gamma * since(self._kept(on, "j")))
        goal = Criterion(HALF * total(gamma * error) + halved(self.ridge) * norm, on.free)
        return on.running(goal, solution, *sums, *others)

    def _kept(self, on: Letters, index: str) -> Term:
        """What forgetting leaves, never less than what reaches the floor in a turn of all axes."""
        if not on.weights.fades:
            return ONE
        pattern = rf"\max({{0}}, {Numeral(self.floor).tex()}^{{{{1/F}}}})"
        least = Form(pattern, self._at_least, (on.weights.kept(index), Letter("F", "F")))
        return Let(rf"\bar a_{index}", least)

    def _at_least(self, decay: Tensor | float, features: int) -> Tensor:
        least = math.exp(self.least_log_decay(features))
        return torch.as_tensor(decay, dtype=torch.float64).clamp_min(least)


def _restored(share: Tensor, t: int) -> Tensor:
    """Returns a diagonal with one axis at 1; tokens count from 1, axes from 0."""
    axis = torch.arange(len(share)) == (t - 1) % len(share)
    return torch.where(torch.diag(axis), 1.0, share)


def _empty(memory: Tensor) -> Tensor:
    return memory.new_zeros(len(memory), len(memory))


def _diagonal(memory: Tensor) -> Tensor:
    return torch.eye(len(memory), dtype=memory.dtype)
