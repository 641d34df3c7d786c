"""Decays x linear model x weighted sums or diagonal steps: matrix products only."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import LinearModel
from ..space.optimizers import DiagonalStep, Optimizer, Sum
from ..space.readouts import Normalized, Plain, Readout, ReadsBefore
from ..space.spec import Spec, axis
from ..space.weights import MemorylessWeights, Recency
from ..stream import Stream
from .base import (
    Params,
    Solver,
    State,
    features,
    fitted_values,
    matrix_formula,
    matrix_size,
    newest,
    read_out,
    recency,
)
from .chunks import CHUNK, carry, chunk_size, decayed_scores, join, split
from .elementwise import decayed_reads, is_vector


class ChunkedLinear(Solver):
    r"""Linear attention in chunks.

    Within a chunk of C tokens, with $c$ the running sum of log decays and $S$ the state before it,

    $$y = (Q \circ e^{c}) S + \big(Q K^\top \circ e^{c_t - c_i}\big)_{i \le t} V$$

    A diagonal step is a decay per feature of its own, whose gain is the importance of the pair.
    A readout that divides takes its normalizer from a column of ones after V; one that reads the
    memory before the newest pair drops the diagonal and the decay of the query's own token.
    Memories that are a vector (Mamba, the LRU) run the recurrence itself.

    Source: Gated Linear Attention Transformers (Yang et al., 2023) https://arxiv.org/abs/2312.06635
    """

    name: ClassVar[str] = "chunked_linear"
    cost: ClassVar[str] = "T (C F + F V), matrix products"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Sum, DiagonalStep)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized, ReadsBefore)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        if matrix_size(spec, shape) == shape.features:  # one value channel: the recurrence itself
            return Estimate(8.0 * rows * shape.features, 32.0 * rows * shape.features)
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
        log_decay, importance = _written(spec, k, recency(spec, x, params), x, params)
        v = fitted_values(spec, x)
        v = v if importance is None else v * importance
        own = newest(spec, q, k, v, params)
        if log_decay is not None and own is None and is_vector(k, v):
            y, last = decayed_reads(q, k, v, log_decay, None if state is None else state["S"])
            return read_out(spec, y), {"S": last}
        diagonal = 0 if own is None else -1
        size = chunk_size(x.length, log_decay)
        q, k, v = split(q, size), split(k, size), split(v, size)
        start = None if state is None else state["S"]
        if log_decay is None:
            before, last = carry(k.mT @ v, None, start)
            y = q @ before + decayed_scores(q, k, None, None, diagonal) @ v
        else:
            steps = split(log_decay, size)
            c = steps.cumsum(-2)
            seen = c if own is None else c - steps
            end = c[..., -1:, :]
            keep = end.exp().mT
            before, last = carry((k * (end - c).exp()).mT @ v, keep, start)
            y = (q * seen.exp()) @ before + decayed_scores(q, k, seen, c, diagonal) @ v
        y = join(y, x.length)
        return read_out(spec, y if own is None else y + own), {"S": last}


def _written(spec: Spec, k: Tensor, weights: Recency, x: Stream, params: Params) -> Recency:
    """Returns the decays and importances under which the memory is a plain sum."""
    optimizer, (log_decay, importance) = spec.optimizer, weights
    signals = {**x.signals, **axis(params, "optimizer")}
    if isinstance(optimizer, DiagonalStep):
        kept, importance = optimizer.shrinkage(k, importance, signals)
        return Recency(kept if log_decay is None else log_decay + kept, importance)
    assert isinstance(optimizer, Sum)
    factor = optimizer.factor(signals)
    if factor is None or importance is None:
        return Recency(log_decay, importance if factor is None else factor)
    return Recency(log_decay, factor * importance)
