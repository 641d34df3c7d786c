"""Exact ridge regression of every causal prefix by two small Cholesky factors per chunk."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import FixedRidge
from ..space.weights import MemorylessWeights
from ..systems import factored
from .base import Solver
from .chunks import CHUNK, join, split
from .problem import Problem, rooted
from .ridges import precise
from .state import Matrix, State

_Asked = Problem[MemorylessWeights, LinearModel, FixedRidge]


class PrefixCholesky(Solver[_Asked]):
    r"""The mesa-layer in chunks, exact and without iterations.

    With $P = (G + \lambda I)^{-1}$ and $S = P R$ from the moments G and R before a chunk (rows of
    K and V scaled by the roots of their importance), the leading blocks of one factor
    $L L^\top = I + K P K^\top$ belong to the leading prefixes, so that with $W = L^{-1} K P$
    and $U = L^{-1} (V - K S)$

    $$y = Q S + \mathrm{tril}(Q W^\top)\, U, \qquad S \leftarrow S + W^\top U, \qquad
    P \leftarrow P - W^\top W$$

    Source: the block form of recursive least squares; the layer is Uncovering mesa-optimization
    algorithms in Transformers (von Oswald et al., 2023) https://arxiv.org/abs/2309.05858
    """

    name: ClassVar[str] = "prefix_cholesky"
    cost: ClassVar[str] = "T (C^2 + F^2 + (C + F) V), one Cholesky factor per chunk"

    def declines(self, p: _Asked) -> str | None:
        if p.optimizer.ridge == 0:
            return "needs a ridge above 0"
        if p.function.intercepts:
            return f"needs every coefficient under the ridge; {p.function} has an intercept"
        if p.weights.fades:
            return "needs weights without decay: under a fixed ridge the prefixes are not nested"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        f, v = shape.features, shape.value_dim
        products = 2 * f * f + 3 * f * v + CHUNK * (3 * f + 2 * v + CHUNK)
        return Estimate(2 * rows * products, 4.0 * rows * (2 * f * (f + v) / CHUNK + 8 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, gram=True)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, ridge = p.x, p.optimizer.ridge
        q, k, v = precise(ridge, *p.features(), x.v)
        importance = p.recency().importance
        if importance is not None:
            root = rooted(importance)
            k, v = k * root, v * root
        size = max(1, min(CHUNK, x.length))
        start = None if kept is None else (kept["P"], kept["S"])
        y, (inverse, fitted) = _chunks(split(q, size), split(k, size), split(v, size), ridge, start)
        return p.read(join(y, x.length).to(x.v.dtype)), {"P": inverse, "S": fitted}


def _chunks(
    q: Tensor, k: Tensor, v: Tensor, ridge: float, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Runs chunk after chunk; returns the outputs [B, H, N, C, V] and the last (P, S)."""
    chunks = list(zip(q.unbind(2), k.unbind(2), v.unbind(2), strict=True))
    outputs = []
    if start is None:  # nothing is fitted yet: P is a multiple of the identity, S is zero
        qc, kc, vc = chunks.pop(0)
        w, u = _fit(kc / ridge, kc, vc)
        outputs.append((qc @ w.mT).tril() @ u)
        eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        start = (eye / ridge - w.mT @ w, w.mT @ u)
    inverse, fitted = start
    for qc, kc, vc in chunks:
        w, u = _fit(kc @ inverse, kc, vc - kc @ fitted)
        outputs.append(qc @ fitted + (qc @ w.mT).tril() @ u)
        inverse, fitted = inverse - w.mT @ w, fitted + w.mT @ u
    return torch.stack(outputs, 2), (inverse, fitted)


def _fit(gains: Tensor, k: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Returns W and U of a chunk from K P, K and V - K S."""
    eye = torch.eye(k.shape[-2], dtype=k.dtype, device=k.device)
    factor, _ = factored(gains @ k.mT + eye)  # no eigenvalue is below 1
    # The factor's inverse, because products with it are several times faster than solves; its
    # smallest singular value is at least 1.
    solve = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    return solve @ gains, solve @ residual
