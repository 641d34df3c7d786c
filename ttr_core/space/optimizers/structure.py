"""What an optimizer promises of its memory: traits that solvers and read-outs compute with."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Stream
from ..fates import Fate
from ..functions import KernelModel, LinearModel, Memory
from ..ingredient import Ingredient
from ..letters import Letters
from ..newton import PairLoss
from ..story import Reading, Story
from ..terms import Term
from ..weights import Recency, RunningWeights
from .base import Incremental, Optimizer, Retrospective, faded, in_a_fit

if TYPE_CHECKING:
    from ..spec import Spec

Features = Callable[[Tensor], Tensor]
"""phi of a linear model, [..., K] -> [..., F]."""


class Sum(Optimizer):
    r"""Trait: the memory is a weighted sum of the pairs.

    $$S_t = \sum_{i \le t} \gamma_i^{(t)} g_i\, \phi(k_i) v_i^\top$$

    No pair is corrected by another, so that what the memory says grows with the past, and the same
    fit to ones is the sum of the weights.
    """

    phrase: ClassVar[str] = "an optimizer whose memory is a weighted sum of the pairs"
    corrects: ClassVar[bool] = False

    @abc.abstractmethod
    def factor(self, signals: Signals) -> Tensor | None:
        """Returns g, what multiplies each pair beside its weight, [B, H, T, 1]; None for 1.

        Args:
            signals: the stream's signals, and the optimizer's own tensors, head first.
        """

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return in_a_fit(on)

    def story(self, on: Letters) -> Story:
        return on.function.summed(on)


class RidgeFit(Optimizer, abc.ABC):
    r"""Trait: least squares with a ridge, $S_t = (G_t + \lambda \Lambda_t)^{-1} R_t$.

    G and R are the weighted sums of $\phi \phi^\top$ and $\phi v^\top$. What becomes of the ridge
    from token to token is its rule: it stays (`FixedRidge`) or it fades (`FadingRidge`).
    """

    phrase: ClassVar[str] = "an optimizer that solves least squares with a ridge"
    corrects: ClassVar[bool] = False
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

    def story(self, on: Letters) -> Story:
        return on.function.fitted(on, self.ridge)


class FadingRidge(RidgeFit, Incremental):
    r"""Trait: the ridge fades with the pairs, and one axis per token is restored, in turn.

    $$\Lambda_0 = I, \qquad \Lambda_t = \max(a_t, a_{\min}) \Lambda_{t-1}
    \text{ with axis } t \bmod F \text{ at } 1$$
    """

    phrase: ClassVar[str] = "an optimizer that solves least squares with a ridge that fades"

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return in_a_fit(on)

    @abc.abstractmethod
    def least_log_decay(self, features: int) -> float:
        """Returns the log of the smallest decay that is taken."""

    @abc.abstractmethod
    def tokens_to(self, left: float, features: int) -> int:
        """Returns how many tokens leave at least the share ``left`` of what was before."""


class Steps(NamedTuple):
    r"""Steps $S \leftarrow S - e\, (S_r^\top r)^\top + w v^\top$ on a linear model, n to a token.

    Args:
        read: r, the key that the memory is asked about, [B, H, n T, F]; None reads nothing.
        write: w, along which the value is written, [B, H, n T, F].
        value: v, [B, H, n T, V].
        erase: e, along which the answer is erased, [B, H, n T, F]; None for w, so that what is
            written is the error $v - S_r^\top r$.
    """

    read: Tensor | None
    write: Tensor
    value: Tensor
    erase: Tensor | None = None


class RankOneSteps(Incremental):
    r"""Trait: on a linear model every update is n steps of rank one, in a closed form per chunk.

    The memory fades before the first step of a token, and is read after the last.
    """

    phrase: ClassVar[str] = "an optimizer whose update is rank-one steps on a linear model"
    writes: ClassVar[Fate] = Fate.ALONG_KEYS

    @abc.abstractmethod
    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        """Returns the steps of every token, those of one token in a row.

        Args:
            x: the tokens, their signals among them.
            phi: the features of the model.
            importance: weight of every pair, [B, H, T, 1], or None for 1.
            own: the optimizer's own tensors, head first.
        """

    def resume(
        self, x: Stream, phi: Features, recency: Recency, own: Params, kept: Carried
    ) -> tuple[Steps, Carried]:
        """Returns the steps of tokens that follow others, and the optimizer's own state after them.

        Args:
            x: the tokens, their signals among them.
            phi: the features of the model.
            recency: the decays of the memory and the weights of the pairs.
            own: the optimizer's own tensors, head first.
            kept: what `begin` names, [B, H, ...] each; nothing at the start.
        """
        return self.steps(x, phi, recency.importance, own), {}

    @property
    def n(self) -> int:
        """How many steps a token takes."""
        return 1

    @property
    def reads_undecayed(self) -> bool:
        """Whether the first step reads the memory before forgetting rather than after."""
        return False

    def begin(self, memory: Memory) -> Carried:
        return {}

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return faded(memory, decay), state


class WrittenSteps(Incremental):
    """Trait: takes features as numbers, not by their inner products alone."""

    phrase: ClassVar[str] = "an optimizer that takes features as numbers"
    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, LinearModel)
    each_feature: ClassVar[bool] = True  # whether it treats every feature by itself

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.function, KernelModel):
            return super().objection(spec)
        if self.each_feature:
            return (
                f"{self.name} gates each feature by itself; those of {spec.function} are "
                "determined up to a rotation only."
            )
        return (
            f"{self.name} is computed from features, and of those of {spec.function} nothing but "
            "their inner products is."
        )


class HistorySteps(RankOneSteps):
    """Trait: one step, whose direction or size depends on the pairs before, not on the memory.

    What it knows of them is its own state, which a solver carries beside the memory.
    """

    phrase: ClassVar[str] = "an optimizer whose rank-one steps depend on the pairs before"

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        return self.resume(x, phi, Recency(None, importance), own, {})[0]

    @abc.abstractmethod
    def resume(
        self, x: Stream, phi: Features, recency: Recency, own: Params, kept: Carried
    ) -> tuple[Steps, Carried]:
        """Returns the steps and the state after them; `RankOneSteps.resume` has the arguments."""


def weighed_key(loss: PairLoss, memory: Memory) -> Tensor:
    r"""Returns $b\, \phi(k)$ of the newest pair, [F]: minus the slope at 0 toward a value of 1.

    For definitions, which see of a pair its loss alone, that of a linear model.
    """
    nothing = torch.zeros_like(memory["S"])
    ones = torch.ones_like(nothing[0])
    slope: Tensor = torch.func.grad(lambda m: loss(m, None, ones))({"S": nothing})["S"]
    return -slope[:, 0]


def weighed_pair(loss: PairLoss, memory: Memory) -> Tensor:
    r"""Returns $b\, \phi(k) v^\top$ of the newest pair, [F, V]: minus the slope at 0."""
    slope: Tensor = torch.func.grad(loss)({"S": torch.zeros_like(memory["S"])})["S"]
    return -slope


class KeyStep(RankOneSteps):
    r"""Trait: one step, read and written along the token's own key, $r = \phi(k), w = g \phi(k)$.

    So that a kernel, which has no features, needs the gain alone.
    """

    phrase: ClassVar[str] = "an optimizer whose update is one step along the newest key"
    writes: ClassVar[Fate] = Fate.ALONG_KEY
    reads: ClassVar[bool] = True  # whether the memory's own answer is subtracted

    @abc.abstractmethod
    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor | None:
        r"""Returns g, [B, H, T, 1]; None for 1.

        Args:
            square: $|\phi(k)|^2$ of every token, [B, H, T, 1].
            importance: weight of every pair, [B, H, T, 1], or None for 1.
            signals: the stream's signals, and the optimizer's own tensors, head first.
        """

    @abc.abstractmethod
    def written_gain(self, on: Letters) -> Term:
        """Returns g as a term."""

    def reading(self, on: Letters) -> Reading | None:
        if not self.reads:
            return on.sum_decay(self.written_gain(on))
        return on.weight_decay(self.written_gain(on), self.reads_undecayed)

    def story(self, on: Letters) -> Story:
        at = on.before if self.reads_undecayed else on.decayed_before
        return on.stepped(self.written_gain(on), at)

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        key = phi(x.k)
        gain = self.gain(key.square().sum(-1, keepdim=True), importance, {**x.signals, **own})
        return Steps(key if self.reads else None, key if gain is None else gain * key, x.v)


class MomentumStep(Incremental):
    r"""Trait: a step along the newest key that goes on for a while.

    $$Z_t = \eta_t Z_{t-1} + g_t \phi(k_t) (v_t - S_r^\top \phi(k_t))^\top, \qquad
    S_t = a_t S_{t-1} + c_t Z_t$$

    On any other memory Z is a share of its predecessor less the gradient. Forgetting leaves it
    alone.
    """

    phrase: ClassVar[str] = "an optimizer that repeats a share of its last step along a key"
    writes: ClassVar[Fate] = Fate.GOES_ON

    @abc.abstractmethod
    def gain(self, square: Tensor, importance: Tensor | None, signals: Signals) -> Tensor:
        """Returns g, [B, H, T, 1], from what `KeyStep.gain` is given."""

    @abc.abstractmethod
    def share(self, signals: Signals) -> Tensor:
        """Returns eta, what is left of the last step, [B, H, T, 1]."""

    def push(self, signals: Signals) -> Tensor | None:
        """Returns c, how far the step moves the memory, [B, H, T, 1]; None for 1."""
        return None

    @property
    def reads_undecayed(self) -> bool:
        """Whether the gradient is taken before forgetting rather than after."""
        return False


class TwoStage(Incremental):
    """Trait: two delta rules along the newest key, the second on the errors of the first."""

    phrase: ClassVar[str] = "an optimizer of two delta rules, one on the errors of the other"
    writes: ClassVar[Fate] = Fate.ALONG_KEY

    @abc.abstractmethod
    def gains(self, importance: Tensor | None, signals: Signals) -> tuple[Tensor, Tensor]:
        """Returns what multiplies the key in each of the two steps, [B, H, T, 1]."""

    @abc.abstractmethod
    def clipped(self, error: Tensor) -> Tensor:
        """Returns the errors that the second is shown, from those that the first has made."""


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
    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights, LinearModel)

    def objection(self, spec: Spec) -> str | None:
        if isinstance(spec.function, KernelModel):
            return (
                f"{self.name} shrinks each feature by itself; those of {spec.function} are "
                "determined up to a rotation only."
            )
        return super().objection(spec)

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return (Fate.SHRINKS,) * on.weights.fades + (Fate.EACH_FEATURE,)

    @abc.abstractmethod
    def shrinkage(self, phi: Tensor, importance: Tensor | None, signals: Signals) -> Diagonal:
        """Returns what every token's step keeps and writes, from features [B, H, T, F]."""

    def begin(self, memory: Memory) -> Carried:
        return {}

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return {"S": memory["S"] * decay[:, None]}, state
