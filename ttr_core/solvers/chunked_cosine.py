"""Weights that turn x linear model x a sum of the pairs: a state that rotates."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import Sum
from ..space.readouts import Direct, Divides, Readout
from ..space.weights import RotatingWeights
from .base import Solver
from .chunks import CHUNK, carry, chunk_size, join, scores, split
from .problem import Problem
from .state import Matrix, State

_Asked = Problem[RotatingWeights, LinearModel, Sum]


class ChunkedCosine(Solver[_Asked]):
    r"""Linear attention on features that turn with their position, in chunks.

    $$\cos(\omega (t - i))\, \phi(q)^\top \phi(k) =
    \begin{bmatrix} \phi(q) \cos \omega t \\ \phi(q) \sin \omega t \end{bmatrix}^\top
    \begin{bmatrix} \phi(k) \cos \omega i \\ \phi(k) \sin \omega i \end{bmatrix}$$

    Positions are counted from the newest token of the state, which is turned by as many tokens as
    are read: it needs no clock, and no angle grows with the sequence.

    Source: cosFormer: Rethinking Softmax in Attention (Qin et al., 2022)
    https://arxiv.org/abs/2202.08791
    """

    name: ClassVar[str] = "chunked_cosine"
    cost: ClassVar[str] = "2 T (C F + F V), matrix products"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides)

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        per_token = 2 * CHUNK * (2 * shape.features + shape.value_dim)
        state = 2 * shape.features * shape.value_dim
        return Estimate(rows * (per_token + 4 * state), 4.0 * rows * (state / 16 + 4 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, 2, vectors=2 * p.readout.divides)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        q, k = p.features()
        length = p.x.length
        place = torch.arange(1, length + 1, dtype=torch.float64, device=k.device)
        angle = (p.weights.rate * place)[:, None]
        cos, sin = angle.cos().to(k.dtype), angle.sin().to(k.dtype)
        size = chunk_size(length)
        q, k = (split(torch.cat([z * cos, z * sin], -1), size) for z in (q, k))
        v = split(p.summed_values(), size)
        before, last = carry(k.mT @ v, None, Matrix.restored(kept))
        y = q @ before + scores(q, k) @ v
        turned = _turned(last, p.weights.rate * length)
        return p.read(join(y, length)), Matrix.keep(turned)


def _turned(memory: Tensor, angle: float) -> Tensor:
    """Counts the positions in a memory, [B, H, 2 F, V], from a token later by this angle."""
    a, b = memory.chunk(2, 2)
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.cat([cos * a + sin * b, cos * b - sin * a], 2)
