"""Softmax over pseudo-values x constant x a sum of the pairs: one unit-triangular solve."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import ConstantModel
from ..space.optimizers import Sum
from ..space.weights import CorrectedWeights
from .base import Solver
from .problem import Problem
from .state import Pairs, State

_Asked = Problem[CorrectedWeights, ConstantModel, Sum]


class PseudoValues(Solver[_Asked]):
    r"""$(I + B) u = v$ and $y = A u$: later tokens need the keys and u, and no weight again.

    Source: Understanding Transformer from the Perspective of Associative Memory (Zhong et al.,
    2025) https://arxiv.org/abs/2505.19488
    """

    name: ClassVar[str] = "pseudo_values"
    cost: ClassVar[str] = "T^2 (K + V), one triangular solve"

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        pairs = float(shape.batch * shape.heads * shape.length**2)
        return Estimate(2 * pairs * (2 * shape.key_dim + 2 * shape.value_dim), 4.0 * 8 * pairs)

    def state(self, p: _Asked) -> State:
        return Pairs()

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, own = p.x, p.own("weights")
        keys, errors = x.k, p.summed_values()
        if kept is not None:
            keys = torch.cat([kept["k"], keys], 2)
        taken = p.weights.corrections(x, keys, own)
        past = keys.shape[2] - x.length
        if kept is not None:
            errors = errors - taken[..., :past] @ kept["written"]
        written = torch.linalg.solve_triangular(
            taken[..., past:], errors, upper=False, unitriangular=True
        )
        if kept is not None:
            written = torch.cat([kept["written"], written], 2)
        return p.read(p.weights.reads(x.q, keys, own) @ written), {"k": keys, "written": written}
