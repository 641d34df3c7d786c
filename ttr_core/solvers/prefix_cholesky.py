"""Exact ridge regression of every causal prefix by two small Cholesky factors per chunk."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..functions import LinearModel
from ..limits import Estimate, Shape
from ..optimizers import Exact, Optimizer
from ..spec import Spec
from ..stream import Stream
from ..weights import MemorylessWeights
from .base import Params, Solver, State, features, matrix_formula, precise, recency
from .chunks import CHUNK, carry, join, split


class PrefixCholesky(Solver):
    r"""The mesa-layer in chunks, exact and without iterations.

    With $G$ and $R$ the moments before a chunk, $M M^\top = G + \lambda I$, and
    $X = M^{-1} K^\top$, $Y = M^{-1} Q^\top$, $Z = M^{-1} R$ (rows of K and V scaled by the roots
    of their importance), the leading blocks of one factor $L L^\top = I + X^\top X$ belong to the
    leading prefixes, so that

    $$y = Y^\top Z + \mathrm{tril}\big((L^{-1} X^\top Y)^\top\big) L^{-1} (V - X^\top Z)$$

    All chunks are independent once the running sums G and R are known.

    Source: the block form of recursive least squares; the layer is Uncovering mesa-optimization
    algorithms in Transformers (von Oswald et al., 2023) https://arxiv.org/abs/2309.05858
    """

    name: ClassVar[str] = "prefix_cholesky"
    cost: ClassVar[str] = "T (C^2 + F^2 + (C + F) V), two Cholesky factors per chunk"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Exact,)

    def declines(self, spec: Spec) -> str | None:
        assert isinstance(spec.optimizer, Exact) and isinstance(spec.function, LinearModel)
        if spec.optimizer.ridge == 0:
            return "needs a ridge above 0"
        if spec.function.intercepts:
            return f"needs every coefficient under the ridge; {spec.function} has an intercept"
        if any(signal.name.startswith("decay") for signal in spec.weights.signals):
            return "needs weights without decay: under a fixed ridge the prefixes are not nested"
        if spec.weights.parameters(1, 1, 1):
            return f"needs weights without decay; {spec.weights} decays"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        f, v = shape.features, shape.value_dim
        solves = f * f * (2 + (v + f / 3) / CHUNK) + CHUNK * (4 * f + 2 * v + CHUNK)
        return Estimate(2 * rows * solves, 4.0 * rows * (3 * f * (f + v) / CHUNK + 8 * CHUNK))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return shape.features * (shape.features + shape.value_dim)

    def state_formula(self, spec: Spec) -> str:
        return matrix_formula(spec, gram=True)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        assert isinstance(spec.optimizer, Exact)
        q, k = features(spec, x, params)
        importance = recency(spec, x, params).importance
        q, k, v = precise(spec, q, k, x.v)
        if importance is not None:
            root = importance.sqrt()
            k, v = k * root, v * root
        size = max(1, min(CHUNK, x.length))
        q, k, v = split(q, size), split(k, size), split(v, size)
        gram, last_gram = carry(k.mT @ k, None, None if state is None else state["G"])
        moment, last_moment = carry(k.mT @ v, None, None if state is None else state["R"])
        ridge = spec.optimizer.ridge
        if state is None and k.shape[2] == 1:
            y = _first_chunk(q, k, v, ridge)
        else:
            y = _later_chunks(q, k, v, gram, moment, ridge)
        return join(y, x.length).to(x.v.dtype), {"G": last_gram, "R": last_moment}


def _first_chunk(q: Tensor, k: Tensor, v: Tensor, ridge: float) -> Tensor:
    """Solves a chunk that has no past: its outer factor is a multiple of the identity."""
    scores, values = _inside(k @ k.mT / ridge, k @ q.mT / ridge, v)
    return scores @ values


def _later_chunks(
    q: Tensor, k: Tensor, v: Tensor, gram: Tensor, moment: Tensor, ridge: float
) -> Tensor:
    size, width = k.shape[-2:]
    eye = torch.eye(width, dtype=k.dtype, device=k.device)
    outer = torch.linalg.cholesky(gram + ridge * eye)
    sides = torch.cat([k.mT, q.mT, moment], -1)  # (B H N F 2C+V)
    sides = torch.linalg.solve_triangular(outer, sides, upper=False)
    xk, yq, z = sides.split([size, size, v.shape[-1]], -1)
    scores, values = _inside(xk.mT @ xk, xk.mT @ yq, v - xk.mT @ z)
    return yq.mT @ z + scores @ values


def _inside(kk: Tensor, kq: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Solves every prefix of the chunks with one factor each, given products after the past."""
    size = kk.shape[-1]
    factor = torch.linalg.cholesky(kk + torch.eye(size, dtype=kk.dtype, device=kk.device))
    both = torch.linalg.solve_triangular(factor, torch.cat([kq, residual], -1), upper=False)
    return both[..., :size].mT.tril(), both[..., size:]
