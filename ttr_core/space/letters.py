"""Letters: what weights, function class and loss are written in, and what is said with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from .story import QUERY, Criterion, Equation, Reading, Story, before, key, nothing, now, target
from .terms import (
    HALF,
    NOTHING,
    ONE,
    Let,
    Letter,
    OneFeature,
    Slope,
    Term,
    Times,
    diagonal,
    dot,
    inner,
    outer,
    square,
    times,
    total,
)


class WrittenWeights(Protocol):
    """Weights as formulas need them."""

    @property
    def fades(self) -> bool:
        """Whether a pair ever counts less because it is older."""

    @property
    def per_feature(self) -> bool:
        """Whether there is one weight per feature rather than one per pair."""

    def written(self) -> Term:
        """Returns gamma of pair i at token t."""

    def proportional(self) -> Term:
        """Returns gamma up to a factor that all pairs share, where that is plainer."""

    def kept(self, index: str) -> Term:
        """Returns what is left of the past at a token."""

    def brought(self, index: str) -> Term:
        """Returns the weight that a token's own pair brings along."""


@dataclass(frozen=True)
class Proportional:
    """Weights as a mean needs them, which a factor that all pairs share leaves as it is.

    Args:
        weights: that are written up to such a factor.
    """

    weights: WrittenWeights

    @property
    def fades(self) -> bool:
        """Whether a pair ever counts less because it is older."""
        return self.weights.fades

    @property
    def per_feature(self) -> bool:
        """Whether there is one weight per feature rather than one per pair."""
        return self.weights.per_feature

    def written(self) -> Term:
        """Returns gamma of pair i at token t, up to the factor."""
        return self.weights.proportional()

    def proportional(self) -> Term:
        """Returns the same."""
        return self.written()

    def kept(self, index: str) -> Term:
        """Returns what is left of the past at a token."""
        return self.weights.kept(index)

    def brought(self, index: str) -> Term:
        """Returns the weight that the newest pair brings along."""
        return self.weights.brought(index)


class WrittenFunction(Protocol):
    """A function class as formulas need it."""

    @property
    def letter(self) -> str:
        """Its memory's."""

    @property
    def by_features(self) -> bool:
        """Whether it is linear in features of the key alone."""

    @property
    def written_start(self) -> str:
        """The memory before the first token."""

    def written_features(self, at: Letter) -> Term:
        """Returns the features of a key or query."""

    def written_answer(self, memory: Term, at: Letter) -> Term:
        """Returns what a memory says at a key or query."""

    def answer_features(self, memory: Term, features: Term) -> Term:
        """Returns what a memory says of features."""

    def weighed_features(self, gamma: Term, features: Term) -> Term:
        """Returns features under a weight per feature."""

    def summed(self, on: Letters) -> Story:
        """Returns the story of one gradient step on the weighted past."""

    def fitted(self, on: Letters, ridge: float) -> Story:
        """Returns the story of the exact fit to the weighted past."""


class WrittenLoss(Protocol):
    """A loss as formulas need it."""

    @property
    def curved(self) -> bool:
        """Whether its gradient is another than the error."""

    def written(self, prediction: Term, value: Term, index: str) -> Term:
        """Returns the loss of the pair with this index."""


@dataclass(frozen=True)
class Letters:
    """The letters that weights, function class and loss of a spec are written in.

    Args:
        weights: how much each pair counts.
        function: what is fitted.
        loss: of a pair.
    """

    weights: WrittenWeights
    function: WrittenFunction
    loss: WrittenLoss

    @property
    def free(self) -> Letter:
        """Any memory."""
        return Letter("memory", self.function.letter)

    @property
    def now(self) -> Letter:
        """The memory after this token."""
        return now("memory", f"{self.function.letter}_t")

    @property
    def before(self) -> Letter:
        """The memory after the token before."""
        return before("memory", f"{self.function.letter}_{{t-1}}")

    @property
    def started(self) -> Term:
        """The memory before the first token."""
        return Letter("start", f"{self.function.letter}_0", where=self.function.written_start)

    @property
    def decayed_before(self) -> Term:
        """What forgetting leaves of the memory."""
        return self.decayed(self.before)

    def decayed(self, memory: Term) -> Term:
        """Returns what forgetting leaves of a memory."""
        kept = self.weights.kept("t")
        return diagonal(kept, memory) if self.weights.per_feature else kept * memory

    @property
    def brought(self) -> Term:
        """The weight that the newest pair brings along."""
        return self.weights.brought("t")

    @property
    def gamma(self) -> Term:
        """The weight of pair i at token t; 1 where all count alike."""
        written = self.weights.written()
        return ONE if written == ONE else Let(r"\gamma_i^{(t)}", written)

    @property
    def proportional(self) -> Letters:
        """The same letters, with the weights up to a factor that all pairs share."""
        return replace(self, weights=Proportional(self.weights))

    def features(self, index: str = "t") -> Term:
        """Returns the features of a token's key."""
        return self.function.written_features(key(index))

    @property
    def query(self) -> Term:
        """The features of the query."""
        return self.function.written_features(QUERY)

    @property
    def weighed(self) -> tuple[Term, Term]:
        """The weight of pair i and its features; a weight per feature is within the features."""
        if self.weights.per_feature:
            return ONE, self.function.weighed_features(self.gamma, self.features("i"))
        return self.gamma, self.features("i")

    @property
    def sum(self) -> Term:
        """The weighted sum of features times values."""
        gamma, phi = self.weighed
        return total(gamma * outer(phi, target("i")))

    @property
    def mass(self) -> Term:
        """The weighted sum of features."""
        gamma, phi = self.weighed
        return total(gamma * (phi.weight if isinstance(phi, OneFeature) else phi))

    @property
    def fit(self) -> Term:
        """The weighted loss of the pairs so far."""
        gamma = ONE if self.weights.per_feature else self.gamma
        error = self.loss.written(self.prediction, target("i"), "i")
        if isinstance(error, Times) and error.factors[0] == HALF:
            return HALF * total(times(gamma, *error.factors[1:]))
        return total(gamma * error)

    @property
    def prediction(self) -> Term:
        """What a memory says of pair i as it is weighed."""
        if self.weights.per_feature:
            return self.function.answer_features(self.free, self.weighed[1])
        return self.function.written_answer(self.free, key("i"))

    @property
    def fit_of_slopes(self) -> Criterion:
        """What a sum of gradients at zero minimizes: their products with a memory, its norm."""
        norm = HALF * square(self.free)
        gamma, phi = self.weighed
        if self.explicit:
            said = self.function.answer_features(self.free, phi)
            return Criterion(norm - total(gamma * dot(target("i"), said)), self.free)
        return Criterion(
            norm + total(gamma * inner(self.free, self.slope(NOTHING, "i"))), self.free
        )

    def loss_of(self, index: str) -> Let:
        """Returns the loss of a pair as a function of the memory, its weight left out."""
        said = (
            self.function.written_answer(self.free, key("t")) if index == "t" else self.prediction
        )
        body = self.loss.written(said, target(index), index)
        return self.named_loss(body, rf"\ell_{index}")

    def named_loss(self, body: Term, letter: str) -> Let:
        """Returns a loss as a function of the memory."""
        return Let(letter, body, rf"{letter}({self.free.tex()})")

    def slope(self, at: Term, index: str = "t") -> Slope:
        """Returns the gradient of a pair's loss at a memory."""
        return Slope(self.loss_of(index), at, self.free.name)

    @property
    def explicit(self) -> bool:
        """Whether that gradient can be written out: minus features times the error."""
        return self.function.by_features and not self.loss.curved

    @property
    def explicit_loss(self) -> bool:
        """Whether the gradient at a prediction is the error."""
        return not self.loss.curved

    def toward(self, rate: Term, at: Term) -> Term:
        """Returns what a step against the gradient of the newest pair adds."""
        if not self.explicit:
            return -(rate * self.slope(at))
        phi = self.features()
        return rate * outer(phi, target("t") - self.function.answer_features(at, phi))

    def near(self, center: Term, rate: Term, slope: Term, free: Letter | None = None) -> Term:
        """Returns the objective of a step: stay near, go against a slope."""
        memory = self.free if free is None else free
        return HALF * square(memory - center) + rate * inner(memory, slope)

    def stepped(self, rate: Term, at: Term) -> Story:
        """Returns the story of one gradient step per token, from what forgetting left."""
        goal = self.near(self.decayed_before, rate, self.slope(at))
        update = self.decayed_before + self.toward(rate, at)
        return self.running(Criterion(goal, self.free), update)

    def descended(self, rate: Term, slope: Term) -> Story:
        """Returns the story of a step against a sum of gradients, from what forgetting left."""
        goal = Criterion(self.near(self.decayed_before, rate, slope), self.free)
        return self.running(goal, self.decayed_before - rate * slope)

    def moved(self, change: Term) -> Story:
        """Returns the story of a memory that a step changes after forgetting, by no gradient."""
        near = HALF * square(self.free - self.decayed_before)
        goal = Criterion(near - inner(self.free, change), self.free)
        return self.running(goal, self.decayed_before + change)

    def going_on(self, share: Term, rate: Term, at: Term, step: Term, push: Term = ONE) -> Story:
        """Returns the story of steps that go on for a while and push the memory by a share."""
        moved, last = now("momentum", "Z_t"), before("momentum", "Z_{t-1}")
        center = self.decayed_before + push * share * last
        goal = Criterion(self.near(center, push * rate, self.slope(at)), self.free)
        momentum = Equation("momentum", "Z_t", share * last + step, nothing)
        return self.running(goal, self.decayed_before + push * moved, momentum)

    def weight_decay(self, gain: Term, undecayed: bool) -> Reading | None:
        """Returns a delta rule with forgetting as one without, on a penalized loss; None if not.

        Args:
            gain: what multiplies the key.
            undecayed: whether the error is that of the memory before forgetting.
        """
        if not self._one_share:
            return None
        kept, said = self.weights.kept("t"), self.function.answer_features
        size = gain if undecayed else kept * gain
        wanted = target("t") if undecayed else (1 / kept) * target("t")
        error = HALF * square(wanted - said(self.free, self.features()))
        penalty = ((1 - kept) / size) * (HALF * square(self.free))
        step = "g" if undecayed else "a g"
        shrunk = "(1 - a) / g" if undecayed else "(1 - a) / (a g)"
        sentence = (
            "Forgetting shrinks the memory before each step, which is weight decay: the update is "
            f"one gradient step from the memory before, of size {step}, on the squared error to "
            f"{'v' if undecayed else 'v / a'} with an L2 penalty of {shrunk}, where g is what "
            "multiplies the key."
        )
        return Reading(sentence, size, error + penalty)

    def sum_decay(self, gain: Term) -> Reading | None:
        """Returns a sum with forgetting as steps on the dot product with a penalty; None if not."""
        if not self._one_share:
            return None
        said = self.function.answer_features(self.free, self.features())
        penalty = ((1 - self.weights.kept("t")) / gain) * (HALF * square(self.free))
        sentence = (
            "Forgetting shrinks the memory before each step, which is weight decay: the update is "
            "one gradient step from the memory before, of size g, on the dot product -v.m(k) with "
            "an L2 penalty of (1 - a) / g, where g is what multiplies the key."
        )
        return Reading(sentence, gain, penalty - dot(target("t"), said))

    @property
    def _one_share(self) -> bool:
        """Whether forgetting is one number per token, and the update is written out."""
        return self.weights.fades and not self.weights.per_feature and self.explicit

    def running(self, objective: Criterion, update: Term, *others: Equation) -> Story:
        """Returns the story of a memory that is carried from token to token."""
        first = Equation("memory", self.now.tex(), update)
        said = self.function.written_answer(self.now, QUERY)
        return Story(objective, (first, *others), said)
