"""Products of rectified coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..option import option
from .base import FeatureMap


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
