"""Decays x linear model x rank-one steps: one unit-triangular solve per chunk."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..functions import LinearModel
from ..limits import Estimate, Shape
from ..optimizers import Optimizer, RankOneStep
from ..spec import Spec
from ..stream import Stream
from ..weights import MemorylessWeights
from .base import Params, Solver, State, features, matrix_formula, recency
from .chunks import CHUNK, chunk_size, decayed_scores, join, split


class ChunkedDelta(Solver):
    r"""The delta rule in chunks (WY form).

    With read keys $r$, write keys $w$ and the errors $E$ of a chunk,

    $$(I + A) E = V - \bar R S, \qquad A_{ti} = r_t^\top w_i\, e^{c_t - c_i} \ (i < t),$$
    $$y = \bar Q S + (Q W^\top \circ e^{c_t - c_i})_{i \le t} E$$

    Only the small update of the state runs from chunk to chunk.

    Source: Parallelizing Linear Transformers with the Delta Rule over Sequence Length (Yang et
    al., 2024) https://arxiv.org/abs/2406.06484
    """

    name: ClassVar[str] = "chunked_delta"
    cost: ClassVar[str] = "T (C (F + V) + F V), one triangular solve per chunk"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (RankOneStep,)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        per_token = 4 * CHUNK * (shape.features + shape.value_dim)
        state = shape.features * (shape.value_dim + shape.features)
        return Estimate(rows * (per_token + 4 * state), 4.0 * rows * (state / 16 + 8 * CHUNK))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return shape.features * shape.value_dim

    def state_formula(self, spec: Spec) -> str:
        return matrix_formula(spec, gram=False)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        optimizer = spec.optimizer
        assert isinstance(optimizer, RankOneStep)
        q, k = features(spec, x, params)
        log_decay, importance = recency(spec, x, params)
        read, write = optimizer.vectors(k, importance, x.signals)
        size = chunk_size(x.length, log_decay)
        q, w, v = split(q, size), split(write, size), split(x.v, size)
        r = torch.zeros_like(w) if read is None else split(read, size)
        c = seen = None
        q_in, r_in, w_out, keep = q, r, w, None
        if log_decay is not None:
            steps = split(log_decay, size)
            c = steps.cumsum(-2)
            seen = c - steps if optimizer.reads_undecayed else c
            end = c[..., -1:, :]
            q_in, r_in, w_out = q * c.exp(), r * seen.exp(), w * (end - c).exp()
            keep = end.exp().mT
        errors, reads = _errors(decayed_scores(r, w, seen, c, -1), v, r_in)
        start = None if state is None else state["S"]
        before, last = _carry(w_out.mT @ errors, w_out.mT @ reads, keep, start)
        y = q_in @ before + decayed_scores(q, w, c, c, 0) @ (errors - reads @ before)
        return join(y, x.length), {"S": last}


def _errors(a: Tensor, v: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Solves (I + A) [E, W] = [V, R], so that the errors at a state S are E - W S."""
    both = torch.cat([v, r], -1)
    # The solve takes the unit diagonal for granted and never reads what stands there.
    solved = torch.linalg.solve_triangular(a, both, upper=False, unitriangular=True)
    return solved[..., : v.shape[-1]], solved[..., v.shape[-1] :]


def _carry(
    writes: Tensor, erases: Tensor, keep: Tensor | None, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Runs S <- keep * S - erase S + write; returns the states before each chunk and the last."""
    state = torch.zeros_like(writes[:, :, 0]) if start is None else start
    before = []
    for n, (write, erase) in enumerate(zip(writes.unbind(2), erases.unbind(2), strict=True)):
        before.append(state)
        kept = state if keep is None else keep[:, :, n] * state
        state = kept + write - erase @ state
    return torch.stack(before, 2), state
