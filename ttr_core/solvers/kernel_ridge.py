"""Kernel ridge regression of every causal prefix by one Cholesky factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import Singular
from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import FeatureModel
from ..space.optimizers import FixedRidge
from ..space.weights import MemorylessWeights
from ..systems import factored
from .base import Solver
from .nested import Factor, NestedFits
from .problem import Problem, rooted
from .ridges import SAFE_RIDGE, no_dual, precise
from .state import Pairs, State

_Asked = Problem[MemorylessWeights, FeatureModel, FixedRidge]


class KernelRidge(Solver[_Asked]):
    r"""Weights without decay x kernel x exact: all prefixes with one factor of the T x T Gram.

    The leading block of a Cholesky factor is the factor of the leading block, so that with
    importance b and $L L^\top = B^{1/2} \kappa(K, K) B^{1/2} + \lambda I$

    $$Y = \mathrm{tril}\big(\kappa(Q, K) B^{1/2} L^{-\top}\big)\, L^{-1} B^{1/2} V$$

    Later tokens append rows to L and to $L^{-1} B^{1/2} V$, in $T^2$ operations each.

    Source: the leading blocks of Gaussian process regression; the layer is Eq. 43 of Test-time
    regression (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    name: ClassVar[str] = "kernel_ridge"
    cost: ClassVar[str] = "T^3 / 3 + T^2 (K + V), one Cholesky factor"

    def declines(self, p: _Asked) -> str | None:
        if reason := no_dual(p.function, p.optimizer.ridge):
            return reason
        if p.weights.fades:
            return "needs weights without decay: under a fixed ridge the prefixes are not nested"
        return None

    def finer(self, p: _Asked) -> bool:
        return p.optimizer.ridge < SAFE_RIDGE

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads, t = shape.batch * shape.heads, float(shape.length)
        flops = t**3 * 4 / 3 + 2 * t * t * (2 * shape.key_dim + shape.value_dim)
        return Estimate(heads * flops, 8.0 * heads * 6 * t * t)

    def state(self, p: _Asked) -> State:
        return Pairs(1, square=True)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, importance, gram = p.x, p.recency().importance, p.inner_products
        q, k, v = precise(p.optimizer.ridge, x.q, x.k, x.v)
        root = torch.ones_like(k[..., :1]) if importance is None else rooted(importance.to(k.dtype))
        old = _nothing(k, v) if kept is None else kept
        half = _substitute(old["L"], old["root"] * gram(old["k"], k) * root.mT)  # (B H T' T)
        before = _substitute(old["L"], old["root"] * gram(old["k"], q))
        eye = torch.eye(k.shape[2], dtype=k.dtype, device=k.device)
        matrix = _less(root * gram(k, k) * root.mT, half, half) + p.optimizer.ridge * eye
        values = _less(root * v, half, old["U"])
        factor = _factor(p, matrix.detach())
        run: Callable[..., tuple[Tensor, ...]] = NestedFits.apply
        y, *_ = run(matrix, _less(gram(q, k) * root.mT, before, half), values, factor)
        y = _less(y, -before, old["U"])
        keep: Callable[..., Tensor] = Factor.apply
        factor = keep(matrix, factor)
        after = {
            "k": torch.cat([old["k"], k], 2),
            "root": torch.cat([old["root"], root], 2),
            "U": torch.cat([old["U"], _substitute(factor, values)], 2),
            "L": _bordered(old["L"], half, factor),
        }
        return p.read(y.to(x.v.dtype)), after


def _less(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Returns x - A^T B, of what stands for the earlier tokens, if there are any."""
    return x - a.mT @ b if a.shape[-2] else x


def _nothing(k: Tensor, v: Tensor) -> Carried:
    """The state before the first token."""
    none = k[:, :, :0]
    return {"k": none, "root": none[..., :1], "U": v[:, :, :0], "L": none[..., :0]}


def _substitute(factor: Tensor, right: Tensor) -> Tensor:
    solved: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return solved


def _factor(p: _Asked, matrix: Tensor) -> Tensor:
    """Returns the Cholesky factor of a Gram matrix with the ridge on its diagonal.

    Raises:
        Singular: it cannot be factored.
    """
    factor, found = factored(matrix)
    if not found:
        raise Singular(
            f"{p}: the Gram matrix is singular in {matrix.dtype}: the ridge is too small beside "
            "the kernel. Raise the ridge."
        )
    return factor


def _bordered(factor: Tensor, half: Tensor, corner: Tensor) -> Tensor:
    """Returns [[L, 0], [half^T, corner]]."""
    if not factor.shape[-1]:
        return corner
    above = torch.cat([factor, torch.zeros_like(half)], -1)
    return torch.cat([above, torch.cat([half.mT, corner], -1)], -2)
