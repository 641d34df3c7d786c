"""Third axis: how the function is fitted, exactly or a step at a time.

A *retrospective* optimizer starts cold at every token and sees the whole weighted past. An
*incremental* one starts from its previous memory and sees the newest pair; forgetting then
shrinks that memory, which is weight decay and not a weighted fit.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ...named import Carried
from ..fates import Fate
from ..functions import LinearModel, LocalModel, Memory
from ..ingredient import Ingredient
from ..letters import Letters
from ..newton import Objective, PairLoss
from ..story import Reading, Story
from ..terms import ONE
from ..weights import RunningWeights, Weights

if TYPE_CHECKING:
    from ..spec import Spec


class Optimizer(Ingredient, abc.ABC):
    """A way to fit the function to the weighted past."""

    family: ClassVar[str] = "optimizer"
    phrase: ClassVar[str] = "an optimizer"
    linear_in_values: ClassVar[bool] = True
    takes_signed: ClassVar[bool] = False  # whether weights may be of either sign
    by_gradients: ClassVar[bool] = False  # whether any loss and any model will do
    corrects: ClassVar[bool] = False  # whether it steps toward the newest pair, whatever others say

    @abc.abstractmethod
    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        """Returns what becomes of old pairs, where the weights alone do not decide it."""

    def weighed_by(self, weights: Weights) -> Weights:
        """Returns the weights that its equations are written in."""
        return weights

    def passes_over(self, weights: Weights) -> int | None:
        """Returns over how many pairs it passes anew at each token; None where it does not."""
        return None

    def reading(self, on: Letters) -> Reading | None:
        """Returns another way to say the same update, where there is one."""
        return None

    @abc.abstractmethod
    def story(self, on: Letters) -> Story:
        """Returns how the memory comes about, in the letters of the other ingredients."""


class Retrospective(Optimizer):
    """Trait: refits the whole weighted past at every token, from a cold start."""

    phrase: ClassVar[str] = "an optimizer that refits the whole weighted past at every token"

    @abc.abstractmethod
    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        """Returns the memory fitted to ``loss``; ``penalty`` is the norm that a ridge counts."""

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return in_a_fit(on)

    def objection(self, spec: Spec) -> str | None:
        if spec.weights.per_feature and not isinstance(spec.function, LinearModel):
            return _no_features(spec)
        return super().objection(spec)


class Incremental(Optimizer):
    """Trait: forgets, then folds the newest pair into the memory it already has."""

    phrase: ClassVar[str] = "an optimizer that folds tokens one by one into a running memory"
    needs: ClassVar[tuple[type[Ingredient], ...]] = (RunningWeights,)
    corrects: ClassVar[bool] = True
    discounts: ClassVar[bool] = False  # forgetting discounts what the fit is made from, not the fit

    def weighed_by(self, weights: Weights) -> Weights:
        return weights.inside if isinstance(weights, RunningWeights) else weights

    def passes_over(self, weights: Weights) -> int | None:
        return weights.reach

    @abc.abstractmethod
    def begin(self, memory: Memory) -> Carried:
        """Returns the optimizer's own state before the first token."""

    @abc.abstractmethod
    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        """Returns memory and state after forgetting; ``decay`` is a scalar [1] or [F]."""

    @abc.abstractmethod
    def update(
        self,
        memory: Memory,
        state: Carried,
        loss: PairLoss,
        signals: Mapping[str, Tensor],
        previous: Memory,
    ) -> tuple[Memory, Carried]:
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

    writes: ClassVar[Fate] = Fate.ALONG_KEY  # what a step does to what is there

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        shrinks = Fate.SHRINKS if on.weights.fades else Fate.KEEPS
        return (shrinks, self.writes if on.function.by_features else Fate.ANYWHERE)

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.weights, RunningWeights):
            return _no_running(spec)
        if isinstance(spec.function, LocalModel):
            return (
                f"{self.name} carries one memory from token to token; {spec.function} is centered "
                "at each query, and a memory fitted around one query means nothing around the next."
            )
        if spec.weights.per_feature and not isinstance(spec.function, LinearModel):
            return _no_features(spec)
        return super().objection(spec)


def _no_running(spec: Spec) -> str:
    needed = f"it needs weights that are {RunningWeights.phrase}."
    if spec.weights.asks_query:
        return (
            f"{spec.optimizer.name} keeps one running state, and no running state serves all "
            f"queries under {spec.weights}: {needed}"
        )
    return (
        f"{spec.optimizer.name} keeps one running state, and under {spec.weights} the weights of "
        f"older pairs change by another factor for each of them: {needed}"
    )


def in_a_fit(on: Letters) -> tuple[Fate, ...]:
    """Returns what becomes of old pairs where each counts by its weight."""
    if on.weights.fades:
        return (Fate.FIT_FADES,)
    return (Fate.ALIKE if on.weights.brought("i") == ONE else Fate.OWN_WEIGHT,)


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
