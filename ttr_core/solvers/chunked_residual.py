"""Decays x linear model x two delta rules, the second on the errors of the first."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import Steps, TwoStage
from ..space.weights import MemorylessWeights
from .base import Solver
from .chunked_delta import delta
from .chunks import CHUNK
from .problem import Problem
from .state import Matrix, State

_Asked = Problem[MemorylessWeights, LinearModel, TwoStage]


class ChunkedResidual(Solver[_Asked]):
    r"""Boosting in chunks: the delta rule thrice.

    Once for what the first memory answers, once for what it said of each key before that key's
    token (its read-out, asked one token earlier), once for the memory of the errors.
    """

    name: ClassVar[str] = "chunked_residual"
    cost: ClassVar[str] = "3 T (C (F + V) + F V), three triangular solves per chunk"

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = 3.0 * shape.batch * shape.heads * shape.length
        per_step = 4 * CHUNK * (shape.features + shape.value_dim)
        state = shape.features * (shape.value_dim + shape.features)
        return Estimate(rows * (per_step + 4 * state), 4.0 * rows * (state / 16 + 8 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, 2)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        q, k = p.features()
        log_decay, importance = p.recency()
        first, second = p.optimizer.gains(importance, p.signals)
        base = rest = None
        said = k[:, :, :1] @ k.new_zeros(*k.shape[:2], k.shape[-1], p.x.value_dim)
        if kept is not None:
            base, rest = kept["base"], kept["rest"]
            said = k[:, :, :1] @ base
        fit = Steps(k, first * k, p.x.v)
        y, last = delta(q, fit, log_decay, False, base)
        if k.shape[2] > 1:
            cut = None if log_decay is None else log_decay[:, :, :-1]
            earlier = Steps(k[:, :, :-1], fit.write[:, :, :-1], p.x.v[:, :, :-1])
            said = torch.cat([said, delta(k[:, :, 1:], earlier, cut, False, base)[0]], 2)
        shown = p.optimizer.clipped(p.x.v - said)
        more, wrong = delta(q, Steps(k, second * k, shown), log_decay, False, rest)
        return p.read(y + more), {"base": last, "rest": wrong}
