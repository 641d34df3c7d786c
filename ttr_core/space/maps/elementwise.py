"""Maps of each coordinate by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F
from torch import Tensor

from ..option import option
from ..sharpness import Comparison
from .base import FeatureMap, root_before

if TYPE_CHECKING:
    from ..spec import Spec


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


STEPS_SCALE = 1000.0  # of 1 + elu under steps, on unit keys


@dataclass(frozen=True)
class Elu1(FeatureMap, Comparison):
    r"""One plus ELU, positive everywhere.

    $$\phi(k) = 1 + \mathrm{elu}(z) = \begin{cases} 1 + z & z > 0 \\ e^z & z \le 0 \end{cases},
    \qquad z = \sqrt s\, k$$

    Unit keys have small coordinates, all of which it maps to about 1: on them it needs a scale.
    Under steps it starts at the largest that is learned: at 64 the features of two keys have a
    cosine of 0.69, and a step for one undoes two thirds of what is known of the other; at 1000 it
    is 0.41 (a rectifier's is 1 / pi).

    Args:
        scale: s, whose root multiplies keys and queries; None takes 1, as the paper.

    Reference: Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention
    (Katharopoulos et al., 2020) https://arxiv.org/abs/2006.16236
    """

    name: ClassVar[str] = "elu1"
    gridded: ClassVar[bool] = True
    sharper_steps: ClassVar[bool] = True
    notation: ClassVar[str] = r"1 + \mathrm{elu}(k)"

    scale: float | None = option(
        None, "sharpness s of 1 + elu(sqrt(s) k); none: 1", low=0.0, high=1e4, since=2
    )

    @property
    def formula(self) -> str:
        return rf"1 + \mathrm{{elu}}({root_before(self.scale)}k)"

    def own_scale(self, key_dim: int) -> float:
        return 1.0 if self.scale is None else self.scale

    def scale_start(self, spec: Spec) -> float:
        return STEPS_SCALE if spec.optimizer.corrects else 64.0

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return F.elu(self.sharpened(x, params)) + 1

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
class SiLU(FeatureMap, Comparison):
    r"""The key gated by itself (swish): of either sign, so not to be divided by its sum.

    $$\phi(k) = z \circ \sigma(z), \qquad z = \sqrt s\, k$$

    Args:
        scale: s, whose root multiplies keys and queries; None takes 1, as the paper.

    Reference: Transformers are SSMs: Generalized Models and Efficient Algorithms Through
    Structured State Space Duality (Dao and Gu, 2024) https://arxiv.org/abs/2405.21060
    """

    name: ClassVar[str] = "silu"
    notation: ClassVar[str] = r"k \circ \sigma(k)"

    scale: float | None = option(
        None, "sharpness s of silu(sqrt(s) k); none: 1", low=0.0, high=1e4, since=2
    )

    @property
    def formula(self) -> str:
        z = f"{root_before(self.scale)}k"
        return rf"{z} \circ \sigma({z})"

    def own_scale(self, key_dim: int) -> float:
        return 1.0 if self.scale is None else self.scale

    def scale_start(self, spec: Spec) -> float:
        return 8.0

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return F.silu(self.sharpened(x, params))

    def width(self, key_dim: int) -> int:
        return key_dim
