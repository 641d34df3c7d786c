"""A matrix applied to features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from ...named import Params
from ..ingredient import Ingredient, Made, choices
from ..maps import FeatureMap, Identity, KernelMap
from ..option import option
from .base import Gram, LinearModel

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

    map: FeatureMap = option(  # noqa: RUF009 - a field
        IDENTITY, "feature map of keys and queries", constraint=Made("map")
    )

    @classmethod
    def listings(cls) -> tuple[dict[str, Any], ...]:
        maps = cast("tuple[type[FeatureMap], ...]", choices("map"))
        return ({}, *({"map": found.name} for found in maps if found.gridded))

    @property
    def closed_gram(self) -> Gram | None:
        return self.map.gram if isinstance(self.map, KernelMap) else None

    @property
    def features_where(self) -> str:
        return "" if self.map.notation == "k" else rf"\phi(k) = {self.map.formula}"

    @property
    def negative(self) -> str:
        return self.map.negative

    def features(self, x: Tensor, params: Params) -> Tensor:
        return self.map(x, params)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return self.map.parameters(key_dim, value_dim, heads)

    def placed(self) -> dict[str, Ingredient]:
        return self.map.placed()

    def width(self, key_dim: int) -> int:
        return self.map.width(key_dim)
