"""Second axis: the class of functions that is fitted to the weighted past."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .feature_maps import FeatureMap, Identity
from .ingredient import Ingredient, option

Memory = dict[str, Tensor]
"""The fast weights that an optimizer fits, by name."""
Params = Mapping[str, Tensor]


class FunctionClass(Ingredient):
    """A family of functions m from keys to values, indexed by a memory."""

    family: ClassVar[str] = "function"
    phrase: ClassVar[str] = "a function class"

    @abc.abstractmethod
    def init(self, key_dim: int, value_dim: int, like: Tensor) -> Memory:
        """Returns the memory that a cold start begins with."""

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
        """Returns how many numbers the memory holds, per head."""


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

    def init(self, key_dim: int, value_dim: int, like: Tensor) -> Memory:
        return {"S": like.new_zeros(self.width(key_dim), value_dim)}

    def penalty(self, memory: Memory) -> Tensor:
        return memory["S"][self.intercepts :].square().sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        return self.width(key_dim) * value_dim


class LinearModel(MatrixModel):
    r"""Trait: $m(k) = S^\top \phi(k)$, linear in its memory."""

    phrase: ClassVar[str] = "a function class that is linear in its parameters"

    @abc.abstractmethod
    def features(self, x: Tensor, params: Params) -> Tensor:
        """Returns phi(x), [..., K] -> [..., F]."""

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        return self.features(x, params) @ memory["S"]


class LocalModel(MatrixModel):
    r"""Trait: a polynomial around the query, $m(k) = c + M \psi(k - q)$ with $\psi(0) = 0$.

    Its features move with the query, so that each query has a fit of its own, and no memory that
    is fitted around one query serves another. At its center the model is its constant c.
    """

    phrase: ClassVar[str] = "a polynomial centered at the query"
    intercepts: ClassVar[int] = 1

    @abc.abstractmethod
    def slopes(self, offset: Tensor) -> Tensor:
        """Returns psi(k - q), what the slopes multiply, [..., K] -> [..., F - 1]."""

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        assert center is not None, f"{self} has no value before it is centered at a query"
        offset = x - center
        one = torch.ones_like(offset[..., :1])
        return torch.cat([one, self.slopes(offset)], -1) @ memory["S"]


@dataclass(frozen=True)
class Constant(LinearModel):
    r"""One vector for all keys, a local constant under kernel weights.

    $$m(k) = c, \qquad c \in \mathbb{R}^V$$

    Fitted exactly it is the weighted mean of the values (Nadaraya-Watson): softmax attention
    under `ExpKernel`. Its one coefficient is an intercept, so no ridge shrinks it.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    intercepts: ClassVar[int] = 1
    notation: ClassVar[str] = "c"

    def features(self, x: Tensor, params: Params) -> Tensor:
        return torch.ones_like(x[..., :1])

    def width(self, key_dim: int) -> int:
        return 1


@dataclass(frozen=True)
class Affine(LocalModel):
    r"""A constant and a slope around the query: local linear regression.

    $$m(k) = c + M (k - q_t), \qquad c \in \mathbb{R}^V,\ M \in \mathbb{R}^{V \times K}$$

    Fitted exactly, the output is the weighted mean of the values corrected for where the query
    lies among the keys; under `ExpKernel` this is local linear attention. A ridge shrinks the slope
    and never the constant: an infinite one leaves softmax attention. One step from zero never
    reads its slope, and is that of a `Constant`.

    Reference: Local Linear Attention: An Optimal Interpolation of Linear and Softmax Attention for
    Test-Time Regression (Zuo et al., 2025) https://arxiv.org/abs/2510.01450
    """

    notation: ClassVar[str] = "c + M (k - q_t)"

    def slopes(self, offset: Tensor) -> Tensor:
        return offset

    def width(self, key_dim: int) -> int:
        return 1 + key_dim


IDENTITY = Identity()


@dataclass(frozen=True)
class Linear(LinearModel):
    r"""A matrix applied to features of the key.

    $$m(k) = S^\top \phi(k), \qquad S \in \mathbb{R}^{F \times V}$$

    Args:
        map: the feature map phi; ``identity`` takes the key itself.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    map: FeatureMap = option(IDENTITY, "feature map of keys and queries")  # noqa: RUF009 - a field
    examples: ClassVar[tuple[dict[str, object], ...]] = ({}, {"map": "elu1"})
    notation: ClassVar[str] = r"S^\top \phi(k)"

    def features(self, x: Tensor, params: Params) -> Tensor:
        return self.map(x, params)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return self.map.parameters(key_dim, value_dim, heads)

    def width(self, key_dim: int) -> int:
        return self.map.width(key_dim)
