"""Any weights x constant x exact: the weighted mean, and any weights x one batch step."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import Constant, FeatureModel
from ..space.optimizers import Exact, OneStep, Optimizer
from ..space.readouts import Normalized, Plain, Readout
from ..space.spec import Spec, axis
from ..space.weights import ExpKernel, MemorylessWeights, PositiveWeights
from ..stream import Stream
from .base import (
    Params,
    Solver,
    State,
    fitted_values,
    inner_products,
    kept_formula,
    kept_size,
    past,
    read_out,
    with_past,
)


class Attention(Solver):
    r"""Softmax over the log weights: $y_t = \sum_i \mathrm{softmax}_i(\log \gamma_i^{(t)}) v_i$."""

    name: ClassVar[str] = "attention"
    cost: ClassVar[str] = "T^2 (K + V)"
    weights = PositiveWeights
    function = Constant
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Exact,)

    def takes_half(self, spec: Spec) -> bool:
        return isinstance(spec.weights, ExpKernel)

    def declines(self, spec: Spec) -> str | None:
        if isinstance(spec.weights, MemorylessWeights):
            return "leaves weights without a kernel to solvers with a running state"
        if spec.weights.per_feature:
            return "needs one weight per pair"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        pairs = shape.batch * shape.heads * shape.length**2
        held = 0 if isinstance(spec.weights, ExpKernel) else 3 * pairs
        return Estimate(2.0 * pairs * (shape.key_dim + shape.value_dim), 4.0 * held)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        whole = with_past(x, state)
        kernel = spec.weights
        if isinstance(kernel, ExpKernel) and state is None:
            scale = kernel.logit_scale(x.key_dim)
            y = F.scaled_dot_product_attention(x.q, x.k, x.v, is_causal=True, scale=scale)
            return y, past(whole, spec.weights.reach)
        assert isinstance(kernel, PositiveWeights)
        log = kernel.log_matrix(whole, axis(params, "weights"))[..., 0]
        return torch.softmax(log, -1) @ whole.v, past(whole, spec.weights.reach)


class ParallelOneStep(Solver):
    r"""Any weights x linear model or kernel x one step.

    $$y_t = \sum_i \gamma_i^{(t)} \phi(q_t)^\top \phi(k_i)\, v_i$$
    """

    name: ClassVar[str] = "parallel_one_step"
    cost: ClassVar[str] = "T^2 (F + V)"
    function = FeatureModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (OneStep,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized)

    def declines(self, spec: Spec) -> str | None:
        if spec.weights.per_feature:
            return "needs one weight per pair"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        pairs = shape.batch * shape.heads * shape.length**2
        return Estimate(2.0 * pairs * (shape.features + shape.value_dim), 12.0 * pairs)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        whole = with_past(x, state)
        weights = spec.weights.matrix(whole, axis(params, "weights"))[..., 0]
        scores = inner_products(spec, whole.q, whole.k, params)
        y = (weights * scores) @ fitted_values(spec, whole)
        return read_out(spec, y), past(whole, spec.weights.reach)
