"""A gated perceptron: the fast weights of LaCT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...named import Params
from ..option import option
from .base import Memory
from .network import SEED, START, Network

NAMES = ("W0", "W1", "W2")


@dataclass(frozen=True)
class GatedMLP(Network):
    r"""A perceptron whose hidden units are gated by the key: SwiGLU.

    $$m(k) = \big(\mathrm{silu}(k W_0) \circ k W_2\big) W_1$$

    What a key opens is decided by one matrix and what it brings by another. No norm and no residual
    stand around it, so that values may have any size. The matrices start from learned tensors.

    Args:
        expansion: hidden units, in units of the key size.
        std: standard deviation of the fresh matrices; none takes $1 / \sqrt{\text{inputs}}$.
        seed: seed of the fresh matrices.

    Reference: Test-Time Training Done Right (Zhang et al., 2025) https://arxiv.org/abs/2505.23884
    """

    expansion: int = option(1, "hidden units, in key sizes", low=1, high=16)
    std: float | None = option(None, START, low=1e-6, high=10.0)
    seed: int = option(0, SEED, low=0)
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def tensors(self) -> tuple[str, ...]:
        return NAMES

    def sizes(self, key_dim: int, value_dim: int) -> tuple[tuple[int, int], ...]:
        """Returns the inputs and outputs of each matrix."""
        inside = self.expansion * key_dim
        return (key_dim, inside), (inside, value_dim), (key_dim, inside)

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        hidden: Tensor = F.silu(x @ memory["W0"]) * (x @ memory["W2"])
        return hidden @ memory["W1"]

    def penalty(self, memory: Memory) -> Tensor:
        return torch.stack([z.square().sum() for z in memory.values()]).sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        return sum(n * m for n, m in self.sizes(key_dim, value_dim))

    def written(self, key: str) -> str:
        return rf"\big(\mathrm{{silu}}({key} W_0) \circ {key} W_2\big) W_1"

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        generator, made = torch.Generator().manual_seed(self.seed), {}
        for name, (n, m) in zip(NAMES, self.sizes(key_dim, value_dim), strict=True):
            scale = n**-0.5 if self.std is None else self.std
            made[name] = scale * torch.randn(heads, n, m, generator=generator)
        return {name: tensor.requires_grad_() for name, tensor in made.items()}
