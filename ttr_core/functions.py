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


class LinearModel(FunctionClass):
    r"""Trait: $m(k) = S^\top \phi(k)$, linear in its memory."""

    phrase: ClassVar[str] = "a function class that is linear in its parameters"
    intercepts: ClassVar[int] = 0  # leading features that no ridge shrinks

    @abc.abstractmethod
    def features(self, x: Tensor, params: Params) -> Tensor:
        """Returns phi(x), [..., K] -> [..., F]."""

    @abc.abstractmethod
    def width(self, key_dim: int) -> int:
        """Returns F for keys of size K."""

    def init(self, key_dim: int, value_dim: int, like: Tensor) -> Memory:
        return {"S": like.new_zeros(self.width(key_dim), value_dim)}

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        return self.features(x, params) @ memory["S"]

    def penalty(self, memory: Memory) -> Tensor:
        return memory["S"][self.intercepts :].square().sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        return self.width(key_dim) * value_dim


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
