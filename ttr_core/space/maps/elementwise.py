"""Maps of each coordinate by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from .base import FeatureMap


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
    gridded: ClassVar[bool] = True
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
