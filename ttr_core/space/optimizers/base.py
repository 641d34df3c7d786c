"""Third axis: how the function is fitted, exactly or a step at a time.

A *retrospective* optimizer starts cold at every token and sees the whole weighted past. An
*incremental* one starts from its previous memory and sees the newest pair; forgetting then
shrinks that memory, which is weight decay and not a weighted fit.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from torch import Tensor

from ..functions import LinearModel, LocalModel, Memory
from ..ingredient import Ingredient
from ..newton import Objective, PairLoss
from ..weights import MemorylessWeights

if TYPE_CHECKING:
    from ..spec import Spec

State = dict[str, Tensor]
Signals = Mapping[str, Tensor]


class Optimizer(Ingredient, abc.ABC):
    """A way to fit the function to the weighted past."""

    family: ClassVar[str] = "optimizer"
    phrase: ClassVar[str] = "an optimizer"
    linear_in_values: ClassVar[bool] = True
    takes_signed: ClassVar[bool] = False  # whether weights may be of either sign
    by_gradients: ClassVar[bool] = False  # whether any loss and any model will do
    in_gradients: ClassVar[str] = ""  # the notation where the loss or the model is any


class Retrospective(Optimizer):
    """Trait: refits the whole weighted past at every token, from a cold start."""

    phrase: ClassVar[str] = "an optimizer that refits the whole weighted past at every token"

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
    discounts: ClassVar[bool] = False  # forgetting discounts what the fit is made from, not the fit

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
        loss: PairLoss,
        signals: Mapping[str, Tensor],
        previous: Memory,
    ) -> tuple[Memory, State]:
        """Folds in the newest pair.

        Args:
            memory: what forgetting left.
            state: the optimizer's own state.
            loss: the newest pair's loss, times its importance; that of another pair [K], [V]
                with two more arguments.
            signals: this token's signals by name, and the optimizer's own tensors;
                ``importance`` is always there.
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


class Sum(Optimizer):
    r"""Trait: the memory is a weighted sum of the pairs.

    $$S_t = \sum_{i \le t} \gamma_i^{(t)} g_i\, \phi(k_i) v_i^\top$$

    No pair is corrected by another, so that what the memory says grows with the past, and the same
    fit to ones is the sum of the weights.
    """

    phrase: ClassVar[str] = "an optimizer whose memory is a weighted sum of the pairs"

    @abc.abstractmethod
    def factor(self, signals: Signals) -> Tensor | None:
        """Returns g, what multiplies each pair beside its weight, [B, H, T, 1]; None for 1."""


class RidgeFit(Optimizer, abc.ABC):
    r"""Trait: least squares with a ridge, $S_t = (G_t + \lambda \Lambda_t)^{-1} R_t$.

    G and R are the weighted sums of $\phi \phi^\top$ and $\phi v^\top$. What becomes of the ridge
    from token to token is its rule: it stays (`FixedRidge`) or it fades (`FadingRidge`).
    """

    phrase: ClassVar[str] = "an optimizer that solves least squares with a ridge"
    ridge: float  # lambda, in units of |phi|^2


class FixedRidge(RidgeFit, Retrospective):
    r"""Trait: the ridge is the same at every token, whatever the weights have become."""

    phrase: ClassVar[str] = "an optimizer that solves least squares with a ridge that stays"

    @abc.abstractmethod
    def diagonal(self, width: int, intercepts: int, like: Tensor) -> Tensor:
        """Returns the ridge of every coefficient, [F].

        Args:
            width: F.
            intercepts: how many leading coefficients have no norm.
            like: any tensor, for its kind.
        """


class FadingRidge(RidgeFit, Incremental):
    r"""Trait: the ridge fades with the pairs, and one axis per token is restored, in turn.

    $$\Lambda_0 = I, \qquad \Lambda_t = \max(a_t, a_{\min}) \Lambda_{t-1}
    \text{ with axis } t \bmod F \text{ at } 1$$
    """

    phrase: ClassVar[str] = "an optimizer that solves least squares with a ridge that fades"

    @abc.abstractmethod
    def least_log_decay(self, features: int) -> float:
        """Returns the log of the smallest decay that is taken."""

    @abc.abstractmethod
    def tokens_to(self, left: float, features: int) -> int:
        """Returns how many tokens leave at least the share ``left`` of what was before."""


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

    reads: ClassVar[bool] = True  # whether the memory's own answer is subtracted

    @abc.abstractmethod
    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        r"""Returns the factor of the written key, [B, H, T, 1]; None for 1.

        Args:
            square: $|\phi(k)|^2$ of every token, [B, H, T, 1].
            importance: weight of every pair, [B, H, T, 1], or None for 1.
            signals: the stream's signals.
        """

    def vectors(self, phi: Tensor, importance: Tensor | None, signals: Signals) -> RankOne:
        """Returns the read and write keys of every token, from features [B, H, T, F]."""
        gain = self.gain(phi.square().sum(-1, keepdim=True), importance, signals)
        return RankOne(phi if self.reads else None, phi if gain is None else gain * phi)

    @property
    def reads_undecayed(self) -> bool:
        """Whether the residual is taken before forgetting rather than after."""
        return False

    def begin(self, memory: Memory) -> State:
        return {}

    def forget(self, memory: Memory, state: State, decay: Tensor) -> tuple[Memory, State]:
        return faded(memory, decay), state


class Diagonal(NamedTuple):
    r"""A step $S \leftarrow e^{c} \circ S' + g\, \phi v^\top$ on a linear model.

    Args:
        log_decay: c, log of what the step keeps of each feature, [B, H, T, F], <= 0.
        gain: g, the factor of what is written, [B, H, T, 1].
    """

    log_decay: Tensor
    gain: Tensor


class DiagonalStep(Incremental):
    """Trait: on a linear model the update shrinks every feature by itself, like a decay."""

    phrase: ClassVar[str] = "an optimizer whose update shrinks each feature of the memory by itself"
    needs: ClassVar[tuple[type[Ingredient], ...]] = (MemorylessWeights, LinearModel)

    @abc.abstractmethod
    def shrinkage(self, phi: Tensor, importance: Tensor | None, signals: Signals) -> Diagonal:
        """Returns what every token's step keeps and writes, from features [B, H, T, F]."""

    def begin(self, memory: Memory) -> State:
        return {}

    def forget(self, memory: Memory, state: State, decay: Tensor) -> tuple[Memory, State]:
        return {"S": memory["S"] * decay[:, None]}, state


def faded(memory: Memory, decay: Tensor) -> Memory:
    """Returns a memory times a decay, [1], or [F] for the rows of each of its tensors."""
    return {n: decay.view(-1, *(1 for _ in m.shape[1:])) * m for n, m in memory.items()}


def _no_features(spec: Spec) -> str:
    if isinstance(spec.function, LocalModel):
        return (
            f"{spec.weights} forgets feature by feature; the features of {spec.function} move with "
            "the query, so that no decay belongs to any of them."
        )
    return f"{spec.weights} forgets feature by feature; {spec.function} has no features."
