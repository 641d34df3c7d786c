"""Feature maps phi: what a linear model sees of a key or query."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from .ingredient import Ingredient


class FeatureMap(Ingredient):
    """A named map from keys (and queries) to features."""

    family: ClassVar[str] = "map"
    phrase: ClassVar[str] = "a feature map"

    @abc.abstractmethod
    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Maps [..., K] to [..., F]."""

    @abc.abstractmethod
    def width(self, key_dim: int) -> int:
        """Returns F for keys of size K."""


@dataclass(frozen=True)
class Identity(FeatureMap):
    r"""The key itself.

    $$\phi(k) = k$$
    """

    name: ClassVar[str] = "identity"
    notation: ClassVar[str] = "k"

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return x

    def width(self, key_dim: int) -> int:
        return key_dim


@dataclass(frozen=True)
class Elu1(FeatureMap):
    r"""One plus ELU, positive everywhere.

    $$\phi(k) = 1 + \mathrm{elu}(k) = \begin{cases} 1 + k & k > 0 \\ e^k & k \le 0 \end{cases}$$

    Reference: Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention
    (Katharopoulos et al., 2020) https://arxiv.org/abs/2006.16236
    """

    name: ClassVar[str] = "elu1"
    notation: ClassVar[str] = r"1 + \mathrm{elu}(k)"

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return F.elu(x) + 1

    def width(self, key_dim: int) -> int:
        return key_dim
