"""Second axis: the class of functions that is fitted to the weighted past."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from ...named import Params
from ..ingredient import Ingredient

if TYPE_CHECKING:
    from ..spec import Spec

Memory = dict[str, Tensor]
"""The fast weights that an optimizer fits, by name."""
Gram = Callable[[Tensor, Tensor, Params], Tensor]
"""Inner products of features, [..., A, K] and [..., B, K] -> [..., A, B]."""


class FunctionClass(Ingredient):
    """A family of functions m from keys to values, indexed by a memory."""

    family: ClassVar[str] = "function"
    phrase: ClassVar[str] = "a function class"

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

    @abc.abstractmethod
    def penalty(self, memory: Memory) -> Tensor:
        """Returns the squared norm that a ridge counts; never an intercept."""

    @abc.abstractmethod
    def memory_size(self, key_dim: int, value_dim: int) -> int:
        """Returns how many numbers the memory holds, per head (and per pair, where it grows)."""


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

    @abc.abstractmethod
    def inner_products(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        """Returns phi(a) . phi(b), [..., A, K] and [..., B, K] -> [..., A, B]."""


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


class ConstantModel(LinearModel, abc.ABC):
    r"""Trait: $m(k) = c$, one intercept for all keys: its exact fit is the weighted mean.

    Its one feature is 1, whatever the key, and no ridge shrinks its coefficient.
    """

    phrase: ClassVar[str] = "a constant"
    intercepts: ClassVar[int] = 1

    def features(self, x: Tensor, params: Params) -> Tensor:
        return torch.ones_like(x[..., :1])

    def width(self, key_dim: int) -> int:
        return 1


class KernelModel(FeatureModel):
    r"""Trait: a function of the reproducing-kernel space of $\kappa$.

    Its features are those of the keys of its own sequence, whitened: with $L L^\top =
    \kappa(K, K)$ over all of them, $\phi(x) = L^{-1} \kappa(K, x)$. On seen keys every fit, step
    and norm is then that of the space itself (the representer theorem). A key in the span of
    earlier ones adds no feature.
    """

    phrase: ClassVar[str] = "a function class with a kernel"

    @abc.abstractmethod
    def gram(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        """Returns kappa(a, b), [..., A, K] and [..., B, K] -> [..., A, B]."""

    def objection(self, spec: Spec) -> str | None:
        other = [s.name for s in spec.optimizer.signals if s.width.endswith("key")]
        if other:
            return (
                f"{self.name} is spanned by the keys of its sequence; {spec.optimizer} brings keys "
                f"of its own (signal {other[0]!r}), which need not lie among them."
            )
        return super().objection(spec)

    def inner_products(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        return self.gram(a, b, params)

    def squares(self, x: Tensor, params: Params) -> Tensor:
        """Returns kappa(x, x), the squared norm of the features, [..., K] -> [..., 1]."""
        one = x[..., None, :]
        return self.gram(one, one, params)[..., 0]

    def given(self, params: Params, keys: Tensor) -> Params:
        gram = self.gram(keys, keys, params)
        kept = _independent(gram.detach())
        square = gram * kept.mT * kept + torch.diag_embed(1 - kept[..., 0])
        return {**params, "keys": keys, "kept": kept, "factor": torch.linalg.cholesky(square)}

    def init(self, key_dim: int, value_dim: int, like: Tensor, params: Params) -> Memory:
        return {"S": like.new_zeros(like.shape[-2], value_dim)}

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        against = params["kept"] * self.gram(params["keys"], x, params)  # (... T X)
        phi = torch.linalg.solve_triangular(params["factor"], against, upper=False)
        predicted: Tensor = phi.mT @ memory["S"]
        return predicted

    def penalty(self, memory: Memory) -> Tensor:
        return memory["S"].square().sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        return key_dim + value_dim


SPANNED = 1e-13
"""Share of a key's squared norm outside the span of others, below which it counts as within."""


def _independent(gram: Tensor) -> Tensor:
    """Returns 1 for every key that lies outside the span of the earlier ones, [..., T, 1]."""
    left, own = gram.clone(), gram.diagonal(dim1=-2, dim2=-1)
    kept = []
    for t in range(gram.shape[-1]):
        pivot = left[..., t, t]
        keep = pivot > SPANNED * own[..., t]
        column = left[..., :, t] * torch.where(keep, pivot, 1.0).rsqrt()[..., None]
        column = column * keep[..., None]
        left = left - column[..., :, None] * column[..., None, :]
        kept.append(keep)
    return torch.stack(kept, -1).to(gram.dtype)[..., None]


class LocalModel(MatrixModel):
    r"""Trait: a polynomial around the query, $m(k) = c + M \psi(k - q)$ with $\psi(0) = 0$.

    Its features move with the query, so that each query has a fit of its own, and no memory that
    is fitted around one query serves another. At its center the model is its constant c.
    """

    phrase: ClassVar[str] = "a polynomial centered at the query"
    intercepts: ClassVar[int] = 1
    product: ClassVar[str] = r"a^\top b"  # psi(a) . psi(b) in LaTeX

    @abc.abstractmethod
    def slopes(self, offset: Tensor) -> Tensor:
        """Returns psi(k - q), what the slopes multiply, [..., K] -> [..., F - 1]."""

    @abc.abstractmethod
    def inner(self, product: Tensor) -> Tensor:
        """Returns psi(a) . psi(b) from the products a . b of two offsets."""

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        assert center is not None, f"{self} has no value before it is centered at a query"
        offset = x - center
        one = torch.ones_like(offset[..., :1])
        return torch.cat([one, self.slopes(offset)], -1) @ memory["S"]
