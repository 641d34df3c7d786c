"""Third axis: how the function is fitted, exactly or a step at a time.

A *retrospective* optimizer starts cold at every token and sees the whole weighted past. An
*incremental* one starts from its previous memory and sees the newest pair; forgetting then
shrinks that memory, which is weight decay and not a weighted fit.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from .functions import LinearModel, LocalModel, Memory
from .ingredient import Ingredient, option
from .newton import Objective, newton
from .stream import Signal
from .weights import MemorylessWeights

if TYPE_CHECKING:
    from .spec import Spec

SMALLEST_RIDGE = 1e-8
State = dict[str, Tensor]
Signals = Mapping[str, Tensor]

STEP = Signal("step", "scalar", "sigmoid", 0.5, 0.01, 1.0, "step size of the newest pair")
PROXIMAL_STEP = replace(
    STEP, link="softplus", init=1.0, high=100.0, help="weight of the newest pair against staying"
)


class Optimizer(Ingredient, abc.ABC):
    """A way to fit the function to the weighted past."""

    family: ClassVar[str] = "optimizer"
    phrase: ClassVar[str] = "an optimizer"
    start: ClassVar[str]  # cold | warm
    sees: ClassVar[str]  # past | newest
    linear_in_values: ClassVar[bool] = True


class Retrospective(Optimizer):
    """Trait: refits the whole weighted past at every token, from a cold start."""

    phrase: ClassVar[str] = "an optimizer that refits the whole weighted past at every token"
    start: ClassVar[str] = "cold"
    sees: ClassVar[str] = "past"

    @abc.abstractmethod
    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        """Returns the memory fitted to ``loss``; ``penalty`` is the norm that a ridge counts."""

    def objection(self, spec: Spec) -> str | None:
        if spec.weights.per_feature and not isinstance(spec.function, LinearModel):
            return _no_features(spec)
        return super().objection(spec)


class Incremental(Optimizer):
    """Trait: forgets, then folds the newest pair into the memory it already has."""

    phrase: ClassVar[str] = "an optimizer that folds tokens one by one into a running memory"
    needs: ClassVar[tuple[type[Ingredient], ...]] = (MemorylessWeights,)
    start: ClassVar[str] = "warm"
    sees: ClassVar[str] = "newest"

    @abc.abstractmethod
    def begin(self, memory: Memory) -> State:
        """Returns the optimizer's own state before the first token."""

    @abc.abstractmethod
    def forget(self, memory: Memory, state: State, decay: Tensor) -> tuple[Memory, State]:
        """Returns memory and state after forgetting; ``decay`` is a scalar [1] or [F]."""

    @abc.abstractmethod
    def update(
        self,
        memory: Memory,
        state: State,
        loss: Objective,
        signals: Mapping[str, Tensor],
        previous: Memory,
    ) -> tuple[Memory, State]:
        """Folds in the newest pair.

        Args:
            memory: what forgetting left.
            state: the optimizer's own state.
            loss: the newest pair's loss, times its importance.
            signals: this token's signals by name; ``importance`` is always there.
            previous: the memory before forgetting.
        """

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.weights, MemorylessWeights):
            return (
                f"{self.name} keeps one running state, and no running state serves all queries "
                f"under {spec.weights}: it needs weights that are {MemorylessWeights.phrase}."
            )
        if isinstance(spec.function, LocalModel):
            return (
                f"{self.name} carries one memory from token to token; {spec.function} is centered "
                "at each query, and a memory fitted around one query means nothing around the next."
            )
        if spec.weights.per_feature and not isinstance(spec.function, LinearModel):
            return _no_features(spec)
        return super().objection(spec)


class RankOne(NamedTuple):
    r"""A step $S \leftarrow S' + w (v - S_r^\top r)^\top$ on a linear model.

    Args:
        read: r, the key that the memory is asked about, [B, H, T, F]; None reads nothing.
        write: w, the key that is written, [B, H, T, F].
    """

    read: Tensor | None
    write: Tensor


class RankOneStep(Incremental):
    """Trait: on a linear model the update is a rank-one step, so that chunks have a closed form."""

    phrase: ClassVar[str] = "an optimizer whose update is a rank-one step on a linear model"

    @abc.abstractmethod
    def vectors(
        self, phi: Tensor, importance: Tensor | None, signals: Mapping[str, Tensor]
    ) -> RankOne:
        """Returns the read and write keys of every token, from features [B, H, T, F]."""

    @property
    def reads_undecayed(self) -> bool:
        """Whether the residual is taken before forgetting rather than after."""
        return False

    def begin(self, memory: Memory) -> State:
        return {}

    def forget(self, memory: Memory, state: State, decay: Tensor) -> tuple[Memory, State]:
        return {"S": memory["S"] * decay[:, None]}, state


def _no_features(spec: Spec) -> str:
    if isinstance(spec.function, LocalModel):
        return (
            f"{spec.weights} forgets feature by feature; the features of {spec.function} move with "
            "the query, so that no decay belongs to any of them."
        )
    return f"{spec.weights} forgets feature by feature; {spec.function} has no features."


@dataclass(frozen=True)
class Exact(Retrospective):
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

    ridge: float = option(1.0, "strength of the ridge, in units of |k|^2", low=0.0, high=1e6)
    examples: ClassVar[tuple[dict[str, object], ...]] = ({}, {"ridge": 0.0})
    notation: ClassVar[str] = r"\arg\min_m"

    def objection(self, spec: Spec) -> str | None:
        if 0 < self.ridge < SMALLEST_RIDGE:
            return (
                f"A ridge of {self.ridge:g} is below what float64 resolves: take at least "
                f"{SMALLEST_RIDGE:g}, or 0 for the minimum-norm solution."
            )
        return super().objection(spec)

    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        if self.ridge == 0:
            return newton(loss, init, penalty)
        return newton(lambda m: loss(m) + self.ridge / 2 * penalty(m), init)


@dataclass(frozen=True)
class OneStep(Retrospective):
    r"""One full-batch gradient step from zero, of size one.

    $$m_t = -\nabla_m \tfrac12 \sum_{i \le t} \gamma_i^{(t)} |v_i - m(k_i)|^2 \Big|_{m = 0}$$

    On a linear model the inverse covariance of least squares is left out: linear attention.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    notation: ClassVar[str] = r"0 - \nabla"

    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        gradient = torch.func.grad(loss)(init)
        return {name: init[name] - gradient[name] for name in init}


@dataclass(frozen=True)
class Hebbian(RankOneStep):
    r"""Write the pair, whatever is there already.

    $$S_t = a_t S_{t-1} + b_t\, \phi(k_t) v_t^\top$$

    Gradient descent on the dot product; no error is corrected. Per-token decays make it the
    same layer as `OneStep`.

    Reference: Linear Transformers Are Secretly Fast Weight Programmers (Schlag et al., 2021)
    https://arxiv.org/abs/2102.11174
    """

    needs: ClassVar[tuple[type[Ingredient], ...]] = (MemorylessWeights, LinearModel)
    notation: ClassVar[str] = r"S_t = a_t S_{t-1} + b_t \phi(k_t) v_t^\top"

    def update(
        self,
        memory: Memory,
        state: State,
        loss: Objective,
        signals: Mapping[str, Tensor],
        previous: Memory,
    ) -> tuple[Memory, State]:
        gradient = torch.func.grad(loss)({n: torch.zeros_like(m) for n, m in memory.items()})
        return {name: memory[name] - gradient[name] for name in memory}, state

    def vectors(
        self, phi: Tensor, importance: Tensor | None, signals: Mapping[str, Tensor]
    ) -> RankOne:
        return RankOne(None, phi if importance is None else phi * importance)


@dataclass(frozen=True)
class SGD(RankOneStep):
    r"""One gradient step on the newest pair: the delta rule.

    $$S_t = a_t S_{t-1} + \beta_t b_t\, \phi(k_t) \big(v_t - \hat S^\top \phi(k_t)\big)^\top$$

    Stable on unit keys for steps up to 2. Signal ``step``: $\beta_t$.

    Args:
        residual: whether $\hat S$ is the memory after forgetting (``decayed``: Gated DeltaNet,
            KDA) or before it (``undecayed``: Titans, RWKV-7).

    Reference: Parallelizing Linear Transformers with the Delta Rule over Sequence Length (Yang
    et al., 2024) https://arxiv.org/abs/2406.06484
    """

    residual: str = option(
        "decayed", "memory whose error is corrected", choices=("decayed", "undecayed")
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ({}, {"residual": "undecayed"})
    notation: ClassVar[str] = (
        r"S_t = a_t S_{t-1} + \beta_t b_t \phi(k_t) (v_t - \hat S^\top \phi(k_t))^\top"
    )

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP,)

    @property
    def reads_undecayed(self) -> bool:
        return self.residual == "undecayed"

    def update(
        self,
        memory: Memory,
        state: State,
        loss: Objective,
        signals: Mapping[str, Tensor],
        previous: Memory,
    ) -> tuple[Memory, State]:
        at = previous if self.reads_undecayed else memory
        gradient = torch.func.grad(loss)(at)
        step = signals["step"]
        return {name: memory[name] - step * gradient[name] for name in memory}, state

    def vectors(
        self, phi: Tensor, importance: Tensor | None, signals: Mapping[str, Tensor]
    ) -> RankOne:
        gain = signals["step"] if importance is None else signals["step"] * importance
        return RankOne(phi, gain * phi)


@dataclass(frozen=True)
class Implicit(RankOneStep):
    r"""The proximal step: stay close and fit the newest pair, solved exactly.

    $$S_t = \arg\min_S \tfrac12 |S - a_t S_{t-1}|^2
    + \tfrac{\delta_t b_t}{2} |v_t - S^\top \phi(k_t)|^2$$

    A delta rule of step $\delta / (1 + \delta |\phi|^2)$, stable for every $\delta \ge 0$ and
    every key; $\delta \to \infty$ is Kaczmarz's projection. Signal ``step``: $\delta_t$.

    Reference: Longhorn: State Space Models are Amortized Online Learners (Liu et al., 2024)
    https://arxiv.org/abs/2407.14207

    Deviation: one step per head, where the paper has one per value channel.
    """

    needs: ClassVar[tuple[type[Ingredient], ...]] = (MemorylessWeights, LinearModel)
    notation: ClassVar[str] = (
        r"S_t = a_t S_{t-1} + \tfrac{\delta_t b_t}{1 + \delta_t b_t |\phi(k_t)|^2} "
        r"\phi(k_t) (v_t - a_t S_{t-1}^\top \phi(k_t))^\top"
    )

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (PROXIMAL_STEP,)

    def update(
        self,
        memory: Memory,
        state: State,
        loss: Objective,
        signals: Mapping[str, Tensor],
        previous: Memory,
    ) -> tuple[Memory, State]:
        def proximal(new: Memory) -> Tensor:
            moved = sum((new[n] - memory[n]).square().sum() for n in memory)
            return moved / 2 + signals["step"].squeeze() * loss(new)

        return newton(proximal, memory), state

    def vectors(
        self, phi: Tensor, importance: Tensor | None, signals: Mapping[str, Tensor]
    ) -> RankOne:
        delta = signals["step"] if importance is None else signals["step"] * importance
        gain = delta / (1 + delta * phi.square().sum(-1, keepdim=True))
        return RankOne(phi, gain * phi)


@dataclass(frozen=True)
class NLMS(RankOneStep):
    r"""Project onto the newest pair: normalized least mean squares, Kaczmarz's projection.

    $$S_t = a_t S_{t-1} + \tfrac{\eta\, b_t}{|\phi(k_t)|^2 + \epsilon}\,
    \phi(k_t) \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top$$

    A gradient step divided by the curvature of the newest pair's loss. At $\eta = 1$ the nearest
    memory that answers the pair (`Implicit` with $\delta = 1/\epsilon$), stable whatever the keys.

    Args:
        step: eta, the share of the way to the projection; beyond 1 it overshoots.
        eps: what keeps the step finite where the key vanishes, in units of |phi|^2.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025), Eq. 32-33 https://arxiv.org/abs/2501.12352

    Deviation: the paper has eta = 1 and no eps.
    """

    step: float = option(1.0, "share of the way to the projection", low=0.0, high=2.0)
    eps: float = option(1e-6, "added to |phi|^2 below the step", low=1e-12, high=1e6)
    needs: ClassVar[tuple[type[Ingredient], ...]] = (MemorylessWeights, LinearModel)
    notation: ClassVar[str] = (
        r"S_t = a_t S_{t-1} + \tfrac{\eta b_t}{|\phi(k_t)|^2 + \epsilon} "
        r"\phi(k_t) (v_t - a_t S_{t-1}^\top \phi(k_t))^\top"
    )

    def update(
        self, memory: Memory, state: State, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, State]:
        slope, weight = torch.func.grad(loss), signals["importance"]
        hessian = torch.func.jacrev(slope)(memory)["S"]["S"]  # (F V F V)
        curvature = hessian[:, 0, :, 0].diagonal().sum()  # b |phi|^2, alike for every channel
        below = (curvature + weight * self.eps).clamp_min(1e-300)  # an importance of 0: no step
        return {"S": memory["S"] - self.step * weight / below * slope(memory)["S"]}, state

    def vectors(self, phi: Tensor, importance: Tensor | None, signals: Signals) -> RankOne:
        gain = self.step / (phi.square().sum(-1, keepdim=True) + self.eps)
        return RankOne(phi, (gain if importance is None else gain * importance) * phi)
