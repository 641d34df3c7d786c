"""Cosine weights x linear model x one step: a state that rotates."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import LinearModel
from ..space.optimizers import OneStep, Optimizer
from ..space.readouts import Normalized, Plain, Readout
from ..space.spec import Spec
from ..space.weights import Cosine
from ..stream import Stream
from .base import (
    Params,
    Solver,
    State,
    features,
    fitted_values,
    matrix_formula,
    matrix_size,
    read_out,
)
from .chunks import CHUNK, carry, chunk_size, decayed_scores, join, split


class ChunkedCosine(Solver):
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
    weights = Cosine
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (OneStep,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        per_token = 2 * CHUNK * (2 * shape.features + shape.value_dim)
        state = 2 * shape.features * shape.value_dim
        return Estimate(rows * (per_token + 4 * state), 4.0 * rows * (state / 16 + 4 * CHUNK))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return 2 * matrix_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return f"2 ({matrix_formula(spec, gram=False)})"

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        assert isinstance(spec.weights, Cosine)
        q, k = features(spec, x, params)
        place = torch.arange(1, x.length + 1, dtype=torch.float64, device=k.device)
        angle = (spec.weights.rate * place)[:, None]
        cos, sin = angle.cos().to(k.dtype), angle.sin().to(k.dtype)
        size = chunk_size(x.length, None)
        q, k = (split(torch.cat([z * cos, z * sin], -1), size) for z in (q, k))
        v = split(fitted_values(spec, x), size)
        before, last = carry(k.mT @ v, None, None if state is None else state["S"])
        y = q @ before + decayed_scores(q, k, None, None, 0) @ v
        turned = _turned(last, spec.weights.rate * x.length)
        return read_out(spec, join(y, x.length)), {"S": turned}


def _turned(memory: Tensor, angle: float) -> Tensor:
    """Counts the positions in a memory, [B, H, 2 F, V], from a token later by this angle."""
    a, b = memory.chunk(2, 2)
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.cat([cos * a + sin * b, cos * b - sin * a], 2)
