"""Second axis: the class of functions that is fitted to the weighted past."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from ...named import Params
from ..ingredient import Ingredient
from ..letters import Letters
from ..story import LEAST, MINIMUM, QUERY, STEP, Criterion, Equation, Story
from ..terms import (
    ONE,
    Letter,
    Numeral,
    Term,
    answer,
    circle,
    halved,
    outer,
    solved,
    square,
    total,
)

if TYPE_CHECKING:
    pass

Memory = dict[str, Tensor]
"""The fast weights that an optimizer fits, by name."""
Gram = Callable[[Tensor, Tensor, Params], Tensor]
"""Inner products of features, [..., A, K] and [..., B, K] -> [..., A, B]."""


class FunctionClass(Ingredient):
    """A family of functions m from keys to values, indexed by a memory."""

    family: ClassVar[str] = "function"
    phrase: ClassVar[str] = "a function class"
    letter: ClassVar[str] = "m"  # of its memory, in formulas
    by_features: ClassVar[bool] = False  # whether it is linear in features of the key alone
    local_scale: ClassVar[float] = 4.0  # of weights that compare keys with the query, at first
    shortest_half_life: ClassVar[float] = 16.0  # in tokens, of fresh decays that are spread

    @property
    def square(self) -> bool:
        """Whether values must have the size of keys."""
        return False

    @abc.abstractmethod
    def init(self, key_dim: int, value_dim: int, like: Tensor, params: Params) -> Memory:
        """Returns the memory of a cold start; ``like`` holds the keys, ``params`` one head's."""

    def given(self, params: Params, keys: Tensor) -> Params:
        """Returns the parameters with what a model takes from the keys of its sequence."""
        return params

    @abc.abstractmethod
    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        """Returns m(x), [..., K] -> [..., V]; local models are centered at ``center``."""

    def curvature(self, keys: Tensor, params: Params) -> Tensor | None:
        r"""Returns how far a unit step moves the answer that it corrects, for each unit of error.

        Of features it is $|\phi(k)|^2$: a step of more than two over it makes errors grow.

        Args:
            keys: [H, N, K].
            params: the model's own tensors, as they start.

        Returns:
            [H, N], or None where nobody steps.
        """
        return None

    @abc.abstractmethod
    def penalty(self, memory: Memory) -> Tensor:
        """Returns the squared norm that a ridge counts; never an intercept."""

    @abc.abstractmethod
    def memory_size(self, key_dim: int, value_dim: int) -> int:
        """Returns how many numbers the memory holds, per head (and per pair, where it grows)."""

    @abc.abstractmethod
    def written_answer(self, memory: Term, at: Letter) -> Term:
        """Returns what a memory says at a key or query."""

    def written_features(self, at: Letter) -> Term:
        """Returns the features of a key or query, the key itself where there are none."""
        return at

    def answer_features(self, memory: Term, features: Term) -> Term:
        """Returns what a memory says of features."""
        return answer(memory, features)

    def weighed_features(self, gamma: Term, features: Term) -> Term:
        """Returns features under a weight per feature."""
        return circle(gamma, features)

    @property
    def written_start(self) -> str:
        """The memory before the first token, in LaTeX; empty where it is learned."""
        return f"{self.letter}_0 = 0"

    def written_norm(self, memory: Term) -> Term:
        """Returns the squared norm that a ridge counts."""
        return square(memory)

    def summed(self, on: Letters) -> Story:
        """Returns the story of one gradient step on the weighted past, from the start."""
        gamma = ONE if on.weights.per_feature else on.gamma
        slopes = total(gamma * on.slope(on.started, "i"))
        update = Equation("memory", on.now.tex(), on.started - slopes)
        goal = Criterion(on.fit, on.free, STEP)
        return Story(goal, (update,), self.written_answer(on.now, QUERY))

    def fitted(self, on: Letters, ridge: float) -> Story:
        """Returns the story of the exact fit to the weighted past."""
        raise NotImplementedError(f"{self} is fitted by no closed form")

    def fit_goal(self, on: Letters, ridge: float) -> Criterion:
        """Returns what an exact fit minimizes: the weighted loss and the ridge."""
        if not ridge:
            return Criterion(on.fit, on.free, LEAST)
        return Criterion(on.fit + halved(ridge) * self.written_norm(on.free), on.free, MINIMUM)


class Stage(NamedTuple):
    """One matrix of a network, [inputs, outputs], and its bias, by their names in the memory."""

    weight: str
    bias: str | None


class StagedModel(FunctionClass):
    r"""Trait: matrices one after another, $z_l = \sigma(z_{l-1}) W_l + b_l$, something around them.

    Its gradients are outer products, of what enters a matrix and of the slope after it.
    """

    phrase: ClassVar[str] = "a function class that is a stack of matrices"

    @property
    @abc.abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The matrices, from the key upward."""

    def entered(self, x: Tensor, params: Params) -> Tensor:
        """Returns what the first matrix sees of a key or query."""
        return x

    def between(self, z: Tensor) -> Tensor:
        """Returns what stands between two matrices."""
        return z

    def slope(self, z: Tensor) -> Tensor:
        """Returns the derivative of what stands there."""
        return torch.ones_like(z)

    def answer(self, x: Tensor, z: Tensor, params: Params) -> Tensor:
        """Returns what the network says of x where its last matrix says z."""
        return z

    def pulled_back(self, z: Tensor, slope: Tensor, params: Params) -> Tensor:
        """Returns the slope of a loss at z from its slope at the answer."""
        return slope


class MatrixModel(FunctionClass):
    """Trait: the memory is one matrix S of coefficients, [F, V], and predictions are linear in it.

    What the coefficients multiply is left open: features of the key alone (`LinearModel`), or of
    its distance from the query (`LocalModel`).
    """

    phrase: ClassVar[str] = "a function class with one matrix of coefficients"
    letter: ClassVar[str] = "S"
    intercepts: ClassVar[int] = 0  # leading rows of S that no ridge shrinks

    @abc.abstractmethod
    def width(self, key_dim: int) -> int:
        """Returns F for keys of size K."""

    def init(self, key_dim: int, value_dim: int, like: Tensor, params: Params) -> Memory:
        return {"S": like.new_zeros(self.width(key_dim), value_dim)}

    def penalty(self, memory: Memory) -> Tensor:
        return memory["S"][self.intercepts :].square().sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        return self.width(key_dim) * value_dim


class FeatureModel(FunctionClass):
    r"""Trait: $m(k) = S^\top \phi(k)$ with features of the key alone.

    Written out they are a `LinearModel`; where only their inner products are, a `KernelModel`.
    """

    phrase: ClassVar[str] = "a function class that is linear in features of the key"
    letter: ClassVar[str] = "S"
    by_features: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def features_where(self) -> str:
        """How the features are defined, in LaTeX; empty where they are the key itself."""

    def written_features(self, at: Letter) -> Term:
        where = self.features_where
        written = rf"\phi({at.tex()})" if where else at.tex()
        return Letter(f"phi.{at.name}", written, at.index, where)

    def written_answer(self, memory: Term, at: Letter) -> Term:
        return answer(memory, self.written_features(at))

    @property
    def negative(self) -> str:
        """Why products of features may be negative by design, in words; empty where they are not.

        Of features that are random or learned nothing is said.
        """
        return ""

    @abc.abstractmethod
    def inner_products(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        """Returns phi(a) . phi(b), [..., A, K] and [..., B, K] -> [..., A, B]."""

    def curvature(self, keys: Tensor, params: Params) -> Tensor | None:
        return self.inner_products(keys, keys, params).diagonal(dim1=-2, dim2=-1)


class LinearModel(MatrixModel, FeatureModel, StagedModel):
    r"""Trait: $m(k) = S^\top \phi(k)$, linear in its memory."""

    phrase: ClassVar[str] = "a function class that is linear in its parameters"

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("S", None),)

    def entered(self, x: Tensor, params: Params) -> Tensor:
        return self.features(x, params)

    @property
    def closed_gram(self) -> Gram | None:
        """The inner products of the features, where they take fewer operations than features."""
        return None

    @abc.abstractmethod
    def features(self, x: Tensor, params: Params) -> Tensor:
        """Returns phi(x), [..., K] -> [..., F]."""

    def inner_products(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        if self.closed_gram is not None:
            return self.closed_gram(a, b, params)
        return self.features(a, params) @ self.features(b, params).mT

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        return self.features(x, params) @ memory["S"]

    def summed(self, on: Letters) -> Story:
        if not on.explicit:
            return super().summed(on)
        update = Equation("memory", on.now.tex(), on.sum)
        return Story(
            Criterion(on.fit, on.free, STEP), (update,), self.written_answer(on.now, QUERY)
        )

    def fitted(self, on: Letters, ridge: float) -> Story:
        gamma, phi = on.weighed
        gram = total(gamma * outer(phi, phi)) + Numeral(ridge) * Letter("eye.F", "I")
        update = Equation("memory", on.now.tex(), solved(gram, on.sum, ridge))
        return Story(self.fit_goal(on, ridge), (update,), self.written_answer(on.now, QUERY))


class ConstantModel(LinearModel, abc.ABC):
    r"""Trait: $m(k) = c$, one intercept for all keys: its exact fit is the weighted mean.

    Its one feature is 1, whatever the key, and no ridge shrinks its coefficient.
    """

    phrase: ClassVar[str] = "a constant"
    intercepts: ClassVar[int] = 1
    local_scale: ClassVar[float] = 16.0  # nothing but the weights tells keys apart

    @property
    def features_where(self) -> str:
        return ""

    def features(self, x: Tensor, params: Params) -> Tensor:
        return torch.ones_like(x[..., :1])

    def width(self, key_dim: int) -> int:
        return 1
