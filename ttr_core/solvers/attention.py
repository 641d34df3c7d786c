"""Any weights x constant x exact: the weighted mean, and any weights x a sum of the pairs."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import ConstantModel, FeatureModel
from ..space.optimizers import FixedRidge, Sum
from ..space.readouts import Direct, Divides, Readout
from ..space.spec import Spec
from ..space.weights import DotProductKernel, MemorylessWeights, PositiveWeights, Weights
from .base import Solver
from .problem import Problem
from .state import Past, State

_Mean = Problem[PositiveWeights, ConstantModel, FixedRidge]


class Attention(Solver[_Mean]):
    r"""Softmax over the log weights: $y_t = \sum_i \mathrm{softmax}_i(\log \gamma_i^{(t)}) v_i$."""

    name: ClassVar[str] = "attention"
    cost: ClassVar[str] = "T^2 (K + V)"

    def takes_half(self, spec: Spec) -> bool:
        return isinstance(spec.weights, DotProductKernel)

    def declines(self, p: _Mean) -> str | None:
        if isinstance(p.weights, MemorylessWeights):
            return "leaves weights without a kernel to solvers with a running state"
        if p.weights.per_feature:
            return "needs one weight per pair"
        return None

    def work(self, p: _Mean, shape: Shape) -> Estimate:
        pairs = shape.batch * shape.heads * shape.length**2
        held = 0 if isinstance(p.weights, DotProductKernel) else 3 * pairs
        return Estimate(2.0 * pairs * (shape.key_dim + shape.value_dim), 4.0 * held)

    def state(self, p: _Mean) -> State:
        return Past(p.spec)

    def solve(self, p: _Mean, kept: Carried | None) -> tuple[Tensor, Carried]:
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        if isinstance(p.weights, DotProductKernel) and kept is None:
            scale = p.weights.sharpness(x.q, p.own("weights"))
            q, scale = (x.q, scale) if isinstance(scale, float) else (x.q * scale, 1.0)
            y = F.scaled_dot_product_attention(q, x.k, x.v, is_causal=True, scale=scale)
        else:
            log, empty = p.weighed(x)
            y = torch.softmax(log, -1) @ x.v
            y = y if empty is None else y.masked_fill(empty, 0.0)
        return y, past.keep(x)


_Sum = Problem[Weights, FeatureModel, Sum]


class ParallelOneStep(Solver[_Sum]):
    r"""Any weights x linear model or kernel x a sum of the pairs.

    $$y_t = \sum_i \gamma_i^{(t)} \phi(q_t)^\top \phi(k_i)\, v_i$$
    """

    name: ClassVar[str] = "parallel_one_step"
    cost: ClassVar[str] = "T^2 (F + V)"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides)

    def declines(self, p: _Sum) -> str | None:
        if p.weights.per_feature:
            return "needs one weight per pair"
        return None

    def work(self, p: _Sum, shape: Shape) -> Estimate:
        pairs = shape.batch * shape.heads * shape.length**2
        return Estimate(2.0 * pairs * (shape.features + shape.value_dim), 12.0 * pairs)

    def state(self, p: _Sum) -> State:
        return Past(p.spec)

    def solve(self, p: _Sum, kept: Carried | None) -> tuple[Tensor, Carried]:
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        y = (p.matrix(x) * p.inner_products(x.q, x.k)) @ p.summed_values(x)
        return p.read(y), past.keep(x)
