"""Feature maps phi: what a linear model sees of a key or query."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .ingredient import Ingredient, option


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


@dataclass(frozen=True)
class ReLU(FeatureMap):
    r"""A rectifier: features that are never negative, and may all be zero.

    $$\phi(k) = \max(k, 0)$$

    Reference: Rethinking Attention with Performers (Choromanski et al., 2020)
    https://arxiv.org/abs/2009.14794

    Deviation: the paper adds a small constant, so that no key vanishes.
    """

    name: ClassVar[str] = "relu"
    notation: ClassVar[str] = r"\max(k, 0)"

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return F.relu(x)

    def width(self, key_dim: int) -> int:
        return key_dim


@dataclass(frozen=True)
class SiLU(FeatureMap):
    r"""The key gated by itself (swish): of either sign, so not to be divided by its sum.

    $$\phi(k) = k \circ \sigma(k)$$

    Reference: Transformers are SSMs: Generalized Models and Efficient Algorithms Through
    Structured State Space Duality (Dao and Gu, 2024) https://arxiv.org/abs/2405.21060
    """

    name: ClassVar[str] = "silu"
    notation: ClassVar[str] = r"k \circ \sigma(k)"

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return F.silu(x)

    def width(self, key_dim: int) -> int:
        return key_dim


@dataclass(frozen=True)
class DPFP(FeatureMap):
    r"""Deterministic parameter-free projection: products of rectified coordinates.

    $$\phi(k) = \big(r_i\, r_{i + j}\big)_{i \le 2K,\, j \le \nu}, \qquad
    r = \max\left(\begin{bmatrix} k \\ -k \end{bmatrix}, 0\right)$$

    with the indices of r taken modulo 2K. Never negative, sparse, and zero for a key with few
    non-zero coordinates.

    Args:
        nu: products per rectified coordinate; there are 2 nu K features.

    Reference: Linear Transformers Are Secretly Fast Weight Programmers (Schlag et al., 2021)
    https://arxiv.org/abs/2102.11174
    """

    name: ClassVar[str] = "dpfp"
    notation: ClassVar[str] = r"(r_i r_{i+j})_{j \le \nu},\ r = \max([k, -k], 0)"

    nu: int = option(1, "products per rectified coordinate: 2 nu K features", low=1, high=16)

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        r = F.relu(torch.cat([x, -x], -1))
        return torch.cat([r * r.roll(-j, -1) for j in range(1, self.nu + 1)], -1)

    def width(self, key_dim: int) -> int:
        return 2 * self.nu * key_dim
