"""Polynomials around the query, from the constant up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import ConstantModel, LocalModel


@dataclass(frozen=True)
class Constant(ConstantModel):
    r"""One vector for all keys, a local constant under kernel weights.

    $$m(k) = c, \qquad c \in \mathbb{R}^V$$

    Fitted exactly it is the weighted mean of the values (Nadaraya-Watson): softmax attention
    under `ExpKernel`. Its one coefficient is an intercept, so no ridge shrinks it.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    notation: ClassVar[str] = "c"


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

    def inner(self, product: Tensor) -> Tensor:
        return product

    def width(self, key_dim: int) -> int:
        return 1 + key_dim
