"""Decays x linear model x Hebbian or one batch step: matrix products only."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..functions import LinearModel
from ..limits import Estimate, Shape
from ..optimizers import Hebbian, OneStep, Optimizer
from ..readouts import Normalized, Plain, Readout
from ..spec import Spec
from ..stream import Stream
from ..weights import MemorylessWeights
from .base import (
    Params,
    Solver,
    State,
    features,
    fitted_values,
    matrix_formula,
    matrix_size,
    read_out,
    recency,
)
from .chunks import CHUNK, carry, chunk_size, decayed_scores, join, split


class ChunkedLinear(Solver):
    r"""Linear attention in chunks.

    Within a chunk of C tokens, with $c$ the running sum of log decays and $S$ the state before it,

    $$y = (Q \circ e^{c}) S + \big(Q K^\top \circ e^{c_t - c_i}\big)_{i \le t} V$$

    A readout that divides takes its normalizer from a column of ones after V.

    Source: Gated Linear Attention Transformers (Yang et al., 2023) https://arxiv.org/abs/2312.06635
    """

    name: ClassVar[str] = "chunked_linear"
    cost: ClassVar[str] = "T (C F + F V), matrix products"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Hebbian, OneStep)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        per_token = 2 * CHUNK * (shape.features + shape.value_dim)
        state = shape.features * shape.value_dim
        return Estimate(rows * (per_token + 4 * state), 4.0 * rows * (state / 16 + 4 * CHUNK))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return matrix_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return matrix_formula(spec, gram=False)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        q, k = features(spec, x, params)
        log_decay, importance = recency(spec, x, params)
        v = fitted_values(spec, x)
        v = v if importance is None else v * importance
        size = chunk_size(x.length, log_decay)
        q, k, v = split(q, size), split(k, size), split(v, size)
        start = None if state is None else state["S"]
        if log_decay is None:
            before, last = carry(k.mT @ v, None, start)
            y = q @ before + decayed_scores(q, k, None, None, 0) @ v
        else:
            c = split(log_decay, size).cumsum(-2)
            end = c[..., -1:, :]
            keep = end.exp().mT
            before, last = carry((k * (end - c).exp()).mT @ v, keep, start)
            y = (q * c.exp()) @ before + decayed_scores(q, k, c, c, 0) @ v
        return read_out(spec, join(y, x.length)), {"S": last}
