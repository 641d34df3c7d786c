"""A toy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...named import Params
from .base import LinearModel


@dataclass(frozen=True)
class ToyDouble(LinearModel):
    r"""A matrix applied to twice the key.

    $$m(k) = S^\top (2 k)$$

    Reference: A toy (Nobody, 2026) https://example.org
    """

    @property
    def features_where(self) -> str:
        return r"\phi(k) = 2 k"

    def features(self, x: Tensor, params: Params) -> Tensor:
        return 2 * x

    def width(self, key_dim: int) -> int:
        return key_dim
