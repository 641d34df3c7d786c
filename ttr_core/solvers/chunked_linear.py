"""Decays x linear model x weighted sums or diagonal steps: matrix products only."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import DiagonalStep, Sum
from ..space.readouts import Direct, Divides, Readout, ReadsBefore
from ..space.weights import MemorylessWeights, Recency
from .base import Solver
from .channels import channel_reads
from .chunks import CHUNK, one_down, one_up
from .elementwise import decayed_reads, is_vector
from .problem import Problem
from .state import Matrix, State
from .token_reads import token_reads

_Asked = Problem[MemorylessWeights, LinearModel, Sum | DiagonalStep]


class ChunkedLinear(Solver[_Asked]):
    r"""Linear attention in chunks.

    Within a chunk of C tokens, with $a_{t:i}$ the product of the decays after token i up to t, and
    $S$ the state before it,

    $$y = (Q \circ a_{t:0}) S + \big(Q K^\top \circ a_{t:i}\big)_{i \le t} V$$

    A diagonal step is a decay per feature of its own, whose gain is the importance of the pair.
    A readout that divides takes its normalizer from a column of ones after V; one that reads the
    memory before the newest pair asks it a token earlier.
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
        v, start = p.values(), Matrix.restored(kept)
        v = v if importance is None else v * importance
        own = p.newest(q, k, v)
        if own is None:
            y, last = reads(q, k, v, log_decay, start)
            return p.read(y), Matrix.keep(last)
        later, last = reads(one_up(q), k, v, log_decay, start)
        y = one_down(later) + own
        if start is not None:
            y = torch.cat([y[:, :, :1] + q[:, :, :1] @ start, y[:, :, 1:]], 2)
        return p.read(y), Matrix.keep(last)


def reads(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sums the pairs and asks the memory after each, as `channel_reads`."""
    if log_decay is not None and is_vector(k, v):
        return decayed_reads(q, k, v, log_decay, start)
    if log_decay is not None and log_decay.shape[-1] > 1:
        return channel_reads(q, k, v, log_decay, start)
    return token_reads(q, k, v, log_decay, start)


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
