"""Decays x linear model x weighted sums or diagonal steps: matrix products only."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import DiagonalStep, Sum
from ..space.readouts import Direct, Divides, Readout, ReadsBefore
from ..space.weights import MemorylessWeights, Recency
from .base import Solver
from .chunks import CHUNK, carry, chunk_size, decayed_scores, join, split
from .elementwise import decayed_reads, is_vector
from .problem import Problem
from .state import Matrix, State

_Asked = Problem[MemorylessWeights, LinearModel, Sum | DiagonalStep]


class ChunkedLinear(Solver[_Asked]):
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
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides, ReadsBefore)

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        if self.state(p).size(shape) == shape.features:  # one value channel: the recurrence itself
            return Estimate(8.0 * rows * shape.features, 32.0 * rows * shape.features)
        per_token = 2 * CHUNK * (shape.features + shape.value_dim)
        state = shape.features * shape.value_dim
        return Estimate(rows * (per_token + 4 * state), 4.0 * rows * (state / 16 + 4 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, vectors=int(p.readout.divides))

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        q, k = p.features()
        log_decay, importance = _written(p, k)
        v, start, length = p.values(), Matrix.restored(kept), p.x.length
        v = v if importance is None else v * importance
        own = p.newest(q, k, v)
        if log_decay is not None and own is None and is_vector(k, v):
            y, last = decayed_reads(q, k, v, log_decay, start)
            return p.read(y), Matrix.keep(last)
        diagonal = 0 if own is None else -1
        size = chunk_size(length, log_decay)
        q, k, v = split(q, size), split(k, size), split(v, size)
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
        y = join(y, length)
        return p.read(y if own is None else y + own), Matrix.keep(last)


def _written(p: _Asked, k: Tensor) -> Recency:
    """Returns the decays and importances under which the memory is a plain sum."""
    log_decay, importance = p.recency()
    if isinstance(p.optimizer, DiagonalStep):
        left, gain = p.optimizer.shrinkage(k, importance, p.signals)
        return Recency(left if log_decay is None else log_decay + left, gain)
    factor = p.optimizer.factor(p.signals)
    if factor is None or importance is None:
        return Recency(log_decay, importance if factor is None else factor)
    return Recency(log_decay, factor * importance)
