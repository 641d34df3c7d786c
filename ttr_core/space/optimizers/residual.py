"""A second memory for what the first one got wrong: Residual DeltaNet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals
from ...stream import Signal
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Equation, Story, before, nothing, signal, target
from ..terms import Form, Numeral, outer
from .base import faded
from .rank_one import STEP
from .structure import TwoStage, WrittenSteps, weighed_key, weighed_pair

SECOND = replace(STEP, name="second_step", help="step size of the memory of errors")
TINY = 1e-30


@dataclass(frozen=True)
class Residual(WrittenSteps, TwoStage):
    r"""Fit the values, then fit what that fit got wrong, clipped: Residual DeltaNet.

    $$B_t = a_t B_{t-1} + \beta_t b_t\, \phi(k_t) \big(v_t - a_t B_{t-1}^\top \phi(k_t)\big)^\top,
    \qquad r_t = \mathrm{clip}_{[-c, c]}\big(v_t - B_{t-1}^\top \phi(k_t)\big)$$
    $$R_t = a_t R_{t-1} + \gamma_t b_t\, \phi(k_t) \big(r_t - a_t R_{t-1}^\top \phi(k_t)\big)^\top,
    \qquad S_t = B_t + R_t$$

    One round of boosting: two delta rules, the second on the errors that the first made before it
    saw the pair. Signals: ``step`` ($\beta_t$) and ``second_step`` ($\gamma_t$).

    Args:
        clip: c, the largest error that the second memory is shown, in units of a value.

    Reference: Enhancing Linear Attention with Residual Learning (Lai et al., 2025)
    https://arxiv.org/abs/2509.25223
    """

    clip: float = option(1.0, "largest error that the second memory is shown", 1e-3, 1e3)
    linear_in_values: ClassVar[bool] = False
    each_feature: ClassVar[bool] = False
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP, SECOND)

    def gains(self, importance: Tensor | None, signals: Signals) -> tuple[Tensor, Tensor]:
        gains = signals["step"], signals["second_step"]
        return gains if importance is None else (gains[0] * importance, gains[1] * importance)

    def clipped(self, error: Tensor) -> Tensor:
        return error.clamp(-self.clip, self.clip)

    def begin(self, memory: Memory) -> Carried:
        return {"base": torch.zeros_like(memory["S"])}

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        after = faded({"base": state["base"]}, decay)
        return faded(memory, decay), {**after, "undecayed": state["base"]}

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        base, rest = state["base"], memory["S"] - state["base"]
        weighed, weight = weighed_key(loss, memory), signals["importance"]
        key = weighed / weight
        # The value, of which the loss shows phi v^T alone; a key of 0 writes nothing, and gets no
        # slope, for which the value itself would have to be seen.
        value = key @ weighed_pair(loss, memory) / (weight * key.square().sum()).clamp_min(TINY)
        shown = self.clipped(value - key @ state.get("undecayed", base))
        first = signals["step"] * torch.outer(weighed, value - key @ base)
        second = signals["second_step"] * torch.outer(weighed, shown - key @ rest)
        return {"S": memory["S"] + first + second}, {"base": base + first}

    def story(self, on: Letters) -> Story:
        phi, v, said = on.features(), target("t"), on.function.answer_features
        last = before("base", "B_{t-1}")
        first = signal(r"\beta_t", "step") * on.brought
        second = signal(r"\gamma_t", "second_step") * on.brought
        fit = first * outer(phi, v - said(on.decayed(last), phi))
        shown = Form(
            r"\mathrm{{clip}}_{{\pm {1}}}({0})", _clipped, (v - said(last, phi), Numeral(self.clip))
        )
        wrong = shown - said(on.decayed(on.before - last), phi)
        told = on.moved(fit + second * outer(phi, wrong))
        base = Equation("base", "B_t", on.decayed(last) + fit, nothing)
        return replace(told, update=(*told.update, base))


def _clipped(error: Tensor, most: float) -> Tensor:
    return error.clamp(-most, most)
