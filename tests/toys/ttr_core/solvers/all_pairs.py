"""A toy: every pair by itself."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import FeatureModel
from ..space.optimizers import Sum
from ..space.weights import Weights
from .base import Solver
from .problem import Problem
from .state import Past, State

_Sum = Problem[Weights, FeatureModel, Sum]


class AllPairs(Solver[_Sum]):
    r"""Any weights x features of the key x a weighted sum of the pairs.

    $$y_t = \sum_i \gamma_i^{(t)} g_i\, \phi(q_t)^\top \phi(k_i)\, v_i$$
    """

    name: ClassVar[str] = "all_pairs"
    cost: ClassVar[str] = "T^2 (F + V)"

    def declines(self, p: _Sum) -> str | None:
        return "needs one weight per pair" if p.weights.per_feature else None

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
