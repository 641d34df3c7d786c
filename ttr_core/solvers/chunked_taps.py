"""Pairs that are written twice x linear model x weighted sums: linear attention, a token late."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import Sum
from ..space.readouts import Direct, Divides, Readout
from ..space.weights import TwiceWritten
from .base import Solver
from .chunked_linear import reads
from .chunks import CHUNK
from .problem import Problem
from .state import Matrix, State, WithNewest

_Asked = Problem[TwiceWritten, LinearModel, Sum]


class ChunkedTaps(Solver[_Asked]):
    r"""The pair before the newest is written with both of its weights, the newest with its own.

    $$P_t = a_t \big(P_{t-1} + (b_{t-1} + c_t)\, k_{t-1} v_{t-1}^\top\big), \qquad
    y_t = P_t^\top q_t + b_t\, (q_t \cdot k_t)\, v_t$$

    One sum of pairs a token late, as `ChunkedLinear` runs it, and the newest pair beside it.

    Source: Mamba-3: Improved Sequence Modeling using State Space Principles (Lahoti et al., 2026)
    https://arxiv.org/abs/2603.15569
    """

    name: ClassVar[str] = "chunked_taps"
    cost: ClassVar[str] = "T (C F + F V), matrix products"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides)

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        state = shape.features * shape.value_dim
        per_token = 2 * CHUNK * (shape.features + shape.value_dim) + 4 * state
        return Estimate(rows * per_token, 4.0 * rows * (state / 16 + 4 * CHUNK))

    def state(self, p: _Asked) -> State:
        return WithNewest(p.function, p.readout.divides)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        q, k = p.features()
        own, later = p.weights.taps(p.x, p.own("weights"))
        log_decay, brought = p.weights.recency(p.x, p.own("weights"))
        v = p.summed_values() if brought is None else p.summed_values() * brought
        nothing = {"k": torch.zeros_like(k[:, :, :1]), "v": torch.zeros_like(v[:, :, :1])}
        last = nothing if kept is None else kept
        before = {n: torch.cat([last[n], z[:, :, :-1]], 2) for n, z in (("k", k), ("v", v))}
        # Of the pair before the first token, the first weight is in the state already.
        written = later + torch.cat([torch.zeros_like(own[:, :, :1]), own[:, :, :-1]], 2)
        keys = before["k"] if log_decay is None else before["k"] * log_decay.exp()
        late, state = reads(q, keys, before["v"] * written, log_decay, Matrix.restored(kept))
        y = late + own * (q * k).sum(-1, keepdim=True) * v
        newest = {"k": k[:, :, -1:], "v": v[:, :, -1:]}
        state = state + newest["k"].mT @ (own[:, :, -1:] * newest["v"])
        return p.read(y), Matrix.keep(state) | newest
