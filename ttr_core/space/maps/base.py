"""Feature maps phi: what a linear model sees of a key or query."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from ..ingredient import Ingredient


class FeatureMap(Ingredient):
    """A named map from keys (and queries) to features."""

    family: ClassVar[str] = "map"
    phrase: ClassVar[str] = "a feature map"
    gridded: ClassVar[bool] = False  # whether the grid lists Linear with it

    @property
    def formula(self) -> str:
        """phi(k) in LaTeX."""
        return self.notation

    @property
    def negative(self) -> str:
        """Why products of features may be negative by design, in words; empty for other maps."""
        return ""

    @abc.abstractmethod
    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Maps [..., K] to [..., F]."""

    @abc.abstractmethod
    def width(self, key_dim: int) -> int:
        """Returns F for keys of size K."""


def root_before(scale: float | None) -> str:
    """Returns the root of a scale as it stands before a key; nothing where it is 1."""
    return "" if scale in (None, 1) else rf"\sqrt{{{scale:g}}}\, "


class KernelMap(FeatureMap):
    r"""Trait: the kernel $\phi(a)^\top \phi(b)$ is known in closed form, without the features.

    Features wider than the sequence is long then need not be made at all.
    """

    phrase: ClassVar[str] = "a feature map with a kernel in closed form"

    @abc.abstractmethod
    def gram(self, a: Tensor, b: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Returns phi(a) . phi(b) for all pairs, [..., A, K] and [..., B, K] to [..., A, B]."""
