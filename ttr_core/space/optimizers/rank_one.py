"""Steps on the newest pair that are of rank one on a linear model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals
from ...stream import Signal
from ..fates import Fate
from ..functions import FeatureModel, Memory
from ..ingredient import Ingredient
from ..letters import Letters
from ..newton import Objective, newton
from ..option import option
from ..story import Criterion, Story, key, signal, target
from ..terms import HALF, NOTHING, Numeral, Term
from ..terms import square as square_of
from ..weights import RunningWeights
from .structure import KeyStep, Sum

STEP = Signal(
    "step",
    "scalar",
    "sigmoid",
    0.5,
    0.01,
    1.0,
    "step size of the newest pair",
    most=math.inf,  # what is stable depends on the length of the key
    by_curvature=True,
)
PROXIMAL_STEP = replace(
    STEP, link="softplus", init=1.0, high=100.0, help="weight of the newest pair against staying"
)


LARGEST = {"twice_sigmoid": 2.0, "sigmoid": 1.0}


def bounded(step: Signal, link: str) -> Signal:
    """Returns a step behind a link that bounds it, by 1 or by 2."""
    return replace(step, link=link, high=LARGEST[link])


@dataclass(frozen=True)
class Hebbian(Sum, KeyStep):
    r"""Write the pair, whatever is there already.

    $$S_t = a_t S_{t-1} + b_t\, \phi(k_t) v_t^\top$$

    Gradient descent on the dot product; no error is corrected. Per-token decays make it the
    same layer as `OneStep`.

    Reference: Linear Transformers Are Secretly Fast Weight Programmers (Schlag et al., 2021)
    https://arxiv.org/abs/2102.11174
    """

    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, FeatureModel)
    reads: ClassVar[bool] = False
    by_gradients: ClassVar[bool] = True

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient = torch.func.grad(loss)({n: torch.zeros_like(m) for n, m in memory.items()})
        return {name: memory[name] - gradient[name] for name in memory}, state

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        return importance

    def factor(self, signals: Signals) -> Tensor | None:
        return None

    def written_gain(self, on: Letters) -> Term:
        return on.brought

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return (Fate.SHRINKS, Fate.ADDED) if on.weights.fades else super().forgetting(on)

    def story(self, on: Letters) -> Story:
        goal = on.fit_of_slopes
        return on.running(goal, on.decayed_before + on.toward(on.brought, NOTHING))


@dataclass(frozen=True)
class SGD(KeyStep):
    r"""One gradient step on the newest pair: the delta rule.

    $$S_t = a_t S_{t-1} + \beta_t b_t\, \phi(k_t) \big(v_t - \hat S^\top \phi(k_t)\big)^\top$$

    Stable on unit keys for steps up to 2. A step beyond 1 overshoots: along a unit key the memory
    is multiplied by $1 - \beta_t$, which is then negative, and that is what tracking a state takes
    (parity: Grazzi et al., 2024, https://arxiv.org/abs/2411.12537). Signal ``step``: $\beta_t$.

    Args:
        residual: whether $\hat S$ is the memory after forgetting (``decayed``: Gated DeltaNet,
            KDA) or before it (``undecayed``: Titans, RWKV-7).
        link: what bounds the step: ``sigmoid`` by 1, ``twice_sigmoid`` by 2.

    Reference: Parallelizing Linear Transformers with the Delta Rule over Sequence Length (Yang
    et al., 2024) https://arxiv.org/abs/2406.06484
    """

    residual: str = option(
        "decayed", "memory whose error is corrected", choices=("decayed", "undecayed")
    )
    link: str = option(
        "sigmoid",
        "what bounds the step, of which one beyond 1 reflects",
        choices=("sigmoid", "twice_sigmoid"),
        since=2,
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ({}, {"residual": "undecayed"})
    by_gradients: ClassVar[bool] = True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (bounded(STEP, self.link),)

    @property
    def reads_undecayed(self) -> bool:
        return self.residual == "undecayed"

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        at = previous if self.reads_undecayed else memory
        gradient = torch.func.grad(loss)(at)
        step = signals["step"]
        return {name: memory[name] - step * gradient[name] for name in memory}, state

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        return signals["step"] if importance is None else signals["step"] * importance

    def written_gain(self, on: Letters) -> Term:
        return signal(r"\beta_t", "step") * on.brought


@dataclass(frozen=True)
class Implicit(KeyStep):
    r"""The proximal step: stay close and fit the newest pair, solved exactly.

    $$S_t = \arg\min_S \tfrac12 |S - a_t S_{t-1}|^2
    + \tfrac{\delta_t b_t}{2} |v_t - S^\top \phi(k_t)|^2$$

    A delta rule of step $\delta / (1 + \delta |\phi|^2)$, stable for every $\delta \ge 0$ and
    every key; $\delta \to \infty$ is Kaczmarz's projection. Signal ``step``: $\delta_t$.

    Reference: Longhorn: State Space Models are Amortized Online Learners (Liu et al., 2024)
    https://arxiv.org/abs/2407.14207

    Deviation: one step per head, where the paper has one per value channel.
    """

    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, FeatureModel)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (PROXIMAL_STEP,)

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        def proximal(new: Memory) -> Tensor:
            moved = sum((new[n] - memory[n]).square().sum() for n in memory)
            return moved / 2 + signals["step"].squeeze() * loss(new)

        return newton(proximal, memory), state

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        delta = signals["step"] if importance is None else signals["step"] * importance
        return delta / (1 + delta * square)

    def written_gain(self, on: Letters) -> Term:
        delta = signal(r"\delta_t", "step") * on.brought
        return delta / (1 + delta * square_of(on.features()))

    def story(self, on: Letters) -> Story:
        near = HALF * square_of(on.free - on.decayed_before)
        loss = on.function.written_answer(on.free, key("t"))
        delta = signal(r"\delta_t", "step") * on.brought
        goal = near + delta * on.loss.written(loss, target("t"), "t")
        told = super().story(on)
        return replace(told, objective=Criterion(goal, on.free))


@dataclass(frozen=True)
class NLMS(KeyStep):
    r"""Project onto the newest pair: normalized least mean squares, Kaczmarz's projection.

    $$S_t = a_t S_{t-1} + \tfrac{\eta\, b_t}{|\phi(k_t)|^2 + \epsilon}\,
    \phi(k_t) \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top$$

    A gradient step divided by the curvature of the newest pair's loss. At $\eta = 1$ the nearest
    memory that answers the pair (`Implicit` with $\delta = 1/\epsilon$), stable whatever the keys.

    Args:
        step: eta, the share of the way to the projection; beyond 1 it overshoots.
        eps: what keeps the step finite where the key vanishes, in units of |phi|^2.
        share: whether eta is that number (``fixed``), or one that each token chooses (``token``),
            within (0, 1): signal ``step``.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025), Eq. 32-33 https://arxiv.org/abs/2501.12352

    Deviation: the paper has eta = 1 and no eps.
    """

    step: float = option(1.0, "share of the way to the projection", low=0.0, high=2.0)
    eps: float = option(1e-6, "added to |phi|^2 below the step", low=1e-12, high=1e6)
    share: str = option(
        "fixed", "who chooses the share of the way", choices=("fixed", "token"), since=2
    )
    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, FeatureModel)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP,) if self.share == "token" else ()

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        slope, weight = torch.func.grad(loss), signals["importance"]
        hessian = torch.func.jacrev(slope)(memory)["S"]["S"]  # (F V F V)
        curvature = hessian[:, 0, :, 0].diagonal().sum()  # b |phi|^2, alike for every channel
        wanted = signals["step"] if self.share == "token" else self.step
        share = wanted * weight / (curvature + weight * self.eps)
        return {"S": memory["S"] - share * slope(memory)["S"]}, state

    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        share = signals["step"] if self.share == "token" else self.step
        gain = share / (square + self.eps)
        return gain if importance is None else gain * importance

    def written_gain(self, on: Letters) -> Term:
        chosen = signal(r"\eta_t", "step") if self.share == "token" else Numeral(self.step)
        share = chosen * on.brought
        return share / (square_of(on.features()) + self.eps)
