"""A toy: every pair by itself."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import FeatureModel
from ..space.optimizers import Optimizer, Sum
from ..space.spec import Spec, axis
from ..stream import Stream
from .base import Params, Solver, State, inner_products, kept_formula, kept_size, past, with_past


class AllPairs(Solver):
    r"""Any weights x features of the key x a weighted sum of the pairs.

    $$y_t = \sum_i \gamma_i^{(t)} g_i\, \phi(q_t)^\top \phi(k_i)\, v_i$$
    """

    name: ClassVar[str] = "all_pairs"
    cost: ClassVar[str] = "T^2 (F + V)"
    function = FeatureModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Sum,)

    def declines(self, spec: Spec) -> str | None:
        return "needs one weight per pair" if spec.weights.per_feature else None

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
        assert isinstance(spec.optimizer, Sum)
        factor = spec.optimizer.factor({**whole.signals, **axis(params, "optimizer")})
        weights = spec.weights.matrix(whole, axis(params, "weights"))[..., 0]
        values = whole.v if factor is None else whole.v * factor
        y = (weights * inner_products(spec, whole.q, whole.k, params)) @ values
        return y, past(whole, spec.weights.reach)
