"""Decays x linear model x several steps per token: the delta rule on all steps in a row."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import LinearModel
from ..space.optimizers import Optimizer
from ..space.optimizers.multi_step import MultiStep
from ..space.spec import Spec
from ..space.weights import MemorylessWeights
from ..stream import Stream
from .base import Params, Solver, State, features, matrix_formula, recency
from .chunked_delta import delta
from .chunks import CHUNK


class ChunkedProduct(Solver):
    r"""DeltaProduct in chunks: the delta rule on a sequence of T n steps.

    The memory fades at the first step of each token and is read after the last.

    Source: DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products (Siems
    et al., 2025) https://arxiv.org/abs/2502.10297
    """

    name: ClassVar[str] = "chunked_product"
    cost: ClassVar[str] = "n times that of the delta rule, T (C (F + V) + F V)"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (MultiStep,)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        assert isinstance(spec.optimizer, MultiStep)
        rows = shape.batch * shape.heads * shape.length * spec.optimizer.n
        per_step = 4 * CHUNK * (shape.features + shape.value_dim)
        state = shape.features * (shape.value_dim + shape.features)
        return Estimate(rows * (per_step + 4 * state), 4.0 * rows * (state / 16 + 8 * CHUNK))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return shape.features * shape.value_dim

    def state_formula(self, spec: Spec) -> str:
        return matrix_formula(spec, gram=False)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        optimizer = spec.optimizer
        assert isinstance(optimizer, MultiStep)
        steps = optimizer.interleaved(x)
        q, k = features(spec, steps, params)
        log_decay, importance = recency(spec, x, params)
        gain = steps.signals["step"]
        if importance is not None:
            gain = gain * importance.repeat_interleave(optimizer.n, 2)
        if log_decay is not None:  # none before the further steps of a token
            log_decay = F.pad(log_decay[:, :, :, None], (0, 0, 0, optimizer.n - 1)).flatten(2, 3)
        start = None if state is None else state["S"]
        y, last = delta(q, k, gain * k, steps.v, log_decay, None, start)
        return y, {"S": last}
