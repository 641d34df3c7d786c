"""Memories that are small networks: what they answer is not linear in what they hold."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...named import Params
from ..ingredient import Ingredient, Made
from ..maps import FeatureMap, Identity
from ..option import option
from .base import Memory, Stage, StagedModel
from .network import SEED, START, Network

IDENTITY = Identity()
EPS = 1e-6  # below the variance in the layer norm


class LayeredModel(Network, StagedModel):
    r"""Trait: matrices with an activation between them, $z_l = \sigma(z_{l-1}) W_l + b_l$.

    With ``wrapped`` the answer is $k + \mathrm{LN}(z_L)$, so that a fresh memory answers about the
    key itself and keeps the size of its answers whatever the size of its matrices. The memory
    starts from learned matrices; so do scale and shift of the norm, which no token changes.
    """

    phrase: ClassVar[str] = "a function class that is a network of layers"

    @property
    def tensors(self) -> tuple[str, ...]:
        return tuple(name for stage in self.stages for name in stage if name is not None)

    @abc.abstractmethod
    def widths(self, key_dim: int, value_dim: int) -> tuple[int, ...]:
        """Returns the sizes between the matrices, the key's first and the value's last."""

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        z = self.entered(x, params)
        for i, (weight, bias) in enumerate(self.stages):
            z = (self.between(z) if i else z) @ memory[weight]
            z = z if bias is None else z + memory[bias][..., None, :]
        return self.answer(x, z, params)

    def answer(self, x: Tensor, z: Tensor, params: Params) -> Tensor:
        if not self.square:
            return z
        gamma, beta = (params[name][:, None].to(z) for name in ("gamma", "beta"))
        return x + F.layer_norm(z, z.shape[-1:], eps=EPS) * gamma + beta

    def pulled_back(self, z: Tensor, slope: Tensor, params: Params) -> Tensor:
        if not self.square:
            return slope
        centered = z - z.mean(-1, keepdim=True)
        scale = (centered.square().mean(-1, keepdim=True) + EPS).rsqrt()
        unit, g = centered * scale, slope * params["gamma"][:, None].to(z)
        along = (g * unit).mean(-1, keepdim=True)
        return (g - g.mean(-1, keepdim=True) - unit * along) * scale

    def written(self, key: str) -> str:
        """Returns m(key) in LaTeX."""
        one, text = len(self.stages) == 1, rf"\phi({key})" if self.features_where else key
        for i, (_, bias) in enumerate(self.stages, 1):
            shift = "" if bias is None else (" + b" if one else f" + b_{i}")
            text = (rf"\sigma({text})" if i > 1 else text) + (" W" if one else f" W_{i}") + shift
        return rf"{key} + \mathrm{{LN}}({text})" if self.square else text

    def penalty(self, memory: Memory) -> Tensor:
        return torch.stack([memory[stage.weight].square().sum() for stage in self.stages]).sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        widths = self.widths(key_dim, value_dim)
        pairs = zip(self.stages, widths, widths[1:], strict=False)
        return sum(n * m + (m if stage.bias else 0) for stage, n, m in pairs)

    def fresh(
        self, widths: Sequence[int], heads: int, stds: Sequence[float | None], seed: int
    ) -> dict[str, Tensor]:
        """Returns learned starts of every matrix, each with its spread, of biases and the norm."""
        generator, made = torch.Generator().manual_seed(seed), {}
        for stage, n, m, std in zip(self.stages, widths, widths[1:], stds, strict=False):
            scale = n**-0.5 if std is None else std
            made[stage.weight] = scale * torch.randn(heads, n, m, generator=generator)
            if stage.bias is not None:
                made[stage.bias] = torch.zeros(heads, m)
        if self.square:
            made["gamma"] = torch.ones(heads, widths[-1])
            made["beta"] = torch.zeros(heads, widths[-1])
        return {name: tensor.requires_grad_() for name, tensor in made.items()}


@dataclass(frozen=True)
class NormLinear(LayeredModel):
    r"""A matrix inside a layer norm and a residual: the memory of TTT-Linear.

    $$m(k) = k + \mathrm{LN}(k W + b), \qquad W \in \mathbb{R}^{K \times K}$$

    Values must have the size of keys. The norm bounds every answer, so steps stay stable whatever
    the size of the keys. W and b start from learned tensors; the norm's scale and shift are
    learned too.

    Args:
        std: standard deviation of the fresh W; none takes $1 / \sqrt K$.
        seed: seed of the fresh W.

    Reference: Learning to (Learn at Test Time): RNNs with Expressive Hidden States (Sun et al.,
    2024) https://arxiv.org/abs/2407.04620
    """

    revision: ClassVar[int] = 2

    std: float | None = option(0.02, START, low=1e-6, high=10.0)
    seed: int = option(0, SEED, low=0)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("W1", "b1"),)

    @property
    def square(self) -> bool:
        return True

    def widths(self, key_dim: int, value_dim: int) -> tuple[int, ...]:
        return (key_dim, value_dim)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return self.fresh(self.widths(key_dim, value_dim), heads, (self.std,), self.seed)


@dataclass(frozen=True)
class MLP(LayeredModel):
    r"""A perceptron inside a layer norm and a residual: the memory of TTT-MLP, Titans and Miras.

    $$m(k) = k + \mathrm{LN}(\sigma(k W_1) W_2)$$

    Holds more than a matrix of the same state and forgets less gently; wrapped, values must have
    the size of keys. The matrices start from learned tensors; the norm's scale and shift are
    learned.

    Args:
        depth: number of matrices.
        expansion: width between them, in units of the key size.
        map: feature map of what the first matrix sees, $k W_1$ becoming $\phi(k) W_1$; ``identity``
            takes the key itself. The residual stays the key's.
        activation: sigma, GELU or its tanh form.
        bias: whether each matrix has one.
        wrapped: whether the norm and the residual stand around the matrices.
        std: standard deviation of the fresh matrices; none takes $1 / \sqrt{\text{inputs}}$.
        seed: seed of the fresh matrices.
        std_last: standard deviation of the last of them; none takes that of the others. Near 0 a
            fresh memory answers next to nothing, and what is written is not lost in what it says.

    Reference: Titans: Learning to Memorize at Test Time (Behrouz, Zhong and Mirrokni, 2024)
    https://arxiv.org/abs/2501.00663
    """

    revision: ClassVar[int] = 2

    depth: int = option(2, "number of matrices", low=1, high=8)
    expansion: int = option(4, "width between the matrices, in key sizes", low=1, high=16)
    activation: str = option("gelu", "what stands between", choices=("gelu", "gelu_tanh"))
    bias: bool = option(False, "whether each matrix has a bias")
    wrapped: bool = option(True, "whether k + LN(.) stands around the matrices")
    std: float | None = option(None, START, low=1e-6, high=10.0)
    seed: int = option(0, SEED, low=0)
    map: FeatureMap = option(  # noqa: RUF009 - a field
        IDENTITY, "feature map of what the first matrix sees", constraint=Made("map"), since=2
    )
    std_last: float | None = option(
        None, "standard deviation of the last fresh matrix; none: as the others", low=1e-6,
        high=10.0, since=3,
    )  # fmt: skip

    @property
    def stages(self) -> tuple[Stage, ...]:
        numbers = range(1, self.depth + 1)
        return tuple(Stage(f"W{i}", f"b{i}" if self.bias else None) for i in numbers)

    @property
    def square(self) -> bool:
        return self.wrapped

    def widths(self, key_dim: int, value_dim: int) -> tuple[int, ...]:
        inside = [self.expansion * key_dim] * (self.depth - 1)
        return (self.map.width(key_dim), *inside, value_dim)

    def entered(self, x: Tensor, params: Params) -> Tensor:
        return self.map(x, params)

    def placed(self) -> dict[str, Ingredient]:
        return self.map.placed()

    def between(self, z: Tensor) -> Tensor:
        return F.gelu(z, approximate="tanh" if self.activation == "gelu_tanh" else "none")

    def slope(self, z: Tensor) -> Tensor:
        if self.activation == "gelu":
            bell = (-z.square() / 2).exp() * (2 * math.pi) ** -0.5
            slope: Tensor = (1 + torch.erf(z * 0.5**0.5)) / 2 + z * bell
            return slope
        root, cubic = (2 / math.pi) ** 0.5, 0.044715
        t = torch.tanh(root * (z + cubic * z**3))
        tangent: Tensor = (1 + t) / 2 + z / 2 * (1 - t.square()) * root * (
            1 + 3 * cubic * z.square()
        )
        return tangent

    @property
    def features_where(self) -> str:
        return "" if self.map.notation == "k" else rf"\phi(k) = {self.map.formula}"

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        own = self.map.parameters(key_dim, value_dim, heads)
        last = self.std if self.std_last is None else self.std_last
        stds = (*[self.std] * (self.depth - 1), last)
        return own | self.fresh(self.widths(key_dim, value_dim), heads, stds, self.seed)
