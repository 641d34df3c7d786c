"""Least squares under any weights: the normal equations of every token, solved densely."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..errors import Singular
from ..limits import Estimate, Shape
from ..space.functions import LinearModel
from ..space.optimizers import Exact, Optimizer
from ..space.spec import Spec, axis
from ..space.weights import MemorylessWeights, PositiveWeights
from ..stream import Stream
from ..systems import factored
from .base import (
    Params,
    Solver,
    State,
    features,
    kept_formula,
    kept_size,
    matrix_formula,
    past,
    precise,
    recency,
    with_past,
)
from .chunks import decayed_scores

BLOCK = 16  # queries at a time; each holds an F x F matrix


class NormalEquations(Solver):
    r"""Decays x linear model x exact: $(G_t + \lambda I) x_t = \phi(q_t)$ for every token.

    Each block of queries forms its Gram matrices from the block's keys and the decayed moments
    before it, so that time is linear in T and the state has a fixed size. A ridge of 0 takes the
    pseudo-inverse in float64 (minimum norm).
    """

    name: ClassVar[str] = "normal_equations"
    cost: ClassVar[str] = "T F^3, one dense solve per token"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Exact,)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows, f = shape.batch * shape.heads * shape.length, shape.features
        held = shape.batch * shape.heads * shape.length * f * f
        return Estimate(rows * (f**3 + 2 * BLOCK * f * f), 8.0 * held)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return shape.features * (shape.features + shape.value_dim)

    def state_formula(self, spec: Spec) -> str:
        return matrix_formula(spec, gram=True)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        q, k = features(spec, x, params)
        q, k, v = precise(spec, q, k, x.v)
        log_decay, importance = recency(spec, x, params)
        if log_decay is None:
            log_decay = torch.zeros_like(k[..., :1])
        if importance is None:
            importance = torch.ones_like(k[..., :1])
        batch, heads, _, width = k.shape
        gram = k.new_zeros(batch, heads, width, width) if state is None else state["G"]
        moment = k.new_zeros(batch, heads, width, x.value_dim) if state is None else state["R"]
        outputs = []
        tensors = (z.split(BLOCK, 2) for z in (q, k, v, log_decay, importance))
        for qb, kb, vb, decay, weight in zip(*tensors, strict=True):
            y, gram, moment = _block(spec, qb, kb, vb, decay, weight, gram, moment)
            outputs.append(y)
        return torch.cat(outputs, 2).to(x.v.dtype), {"G": gram, "R": moment}


def _block(
    spec: Spec,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    importance: Tensor,
    gram: Tensor,
    moment: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Solves one block and returns its outputs and the moments after it."""
    c = log_decay.cumsum(2)
    kept = c.exp()  # (B H C w)
    size = k.shape[2]
    if not spec.weights.per_feature:
        seen = torch.ones_like(k[..., :1])
        weights = decayed_scores(seen, seen * importance, c, c, 0)  # (B H C C)
        outer = (k[..., :, None] * k[..., None, :]).flatten(-2)  # (B H C F^2)
        grams = (weights @ outer).unflatten(-1, (k.shape[-1], -1))
        grams = grams + kept[..., None] * gram[:, :, None]
    else:
        weights = _vector_weights(c, importance)  # (B H C C F)
        keys = weights * k[:, :, None]
        grams = keys.mT @ keys + kept[..., :, None] * kept[..., None, :] * gram[:, :, None]
    solved = _solve(grams, q, spec)  # (B H C F)
    if not spec.weights.per_feature:
        scores = weights * (solved @ k.mT)
        last = weights[:, :, -1, :, None] * k
    else:
        scores = (keys @ solved[..., None]).squeeze(-1)
        last = keys[:, :, -1]
    y = scores @ v + (solved * kept) @ moment
    decayed = moment * kept[:, :, size - 1, :, None]
    return y, grams[:, :, -1], decayed + last.mT @ v


def _vector_weights(c: Tensor, importance: Tensor) -> Tensor:
    size = c.shape[2]
    gap = c[:, :, :, None] - c[:, :, None]
    hidden = torch.ones(size, size, dtype=torch.bool, device=c.device).triu(1)
    return gap.masked_fill(hidden[..., None], -torch.inf).exp() * importance[:, :, None]


def _solve(grams: Tensor, q: Tensor, spec: Spec, scale: Tensor | None = None) -> Tensor:
    """Solves (G + ridge) x = q for every token; the ridge leaves intercepts alone.

    Args:
        grams: G, [B, H, C, F, F].
        q: right-hand sides, [B, H, C, F].
        spec: whose ridge it is.
        scale: what each G has been multiplied by, [B, H, C]; the ridge is too. None for 1.

    Raises:
        Singular: G and the ridge leave a matrix that cannot be factored.
    """
    assert isinstance(spec.optimizer, Exact) and isinstance(spec.function, LinearModel)
    ridge, free = spec.optimizer.ridge, spec.function.intercepts
    width = q.shape[-1]
    if ridge == 0 and free < width:
        inverse = torch.linalg.pinv(grams, hermitian=True)
        return (inverse @ q[..., None]).squeeze(-1)
    diagonal = torch.full((width,), ridge, dtype=q.dtype, device=q.device)
    diagonal[:free] = 0.0
    added = diagonal.diag() if scale is None else diagonal.diag() * scale[..., None, None]
    factor, found = factored(grams + added)
    if not found:
        raise Singular(
            f"{spec}: the normal equations are singular in {q.dtype}: the ridge is too small "
            "beside the weights. Raise the ridge or lower the kernel's scale."
        )
    # Two triangular solves: for one right-hand side ten times faster than cholesky_solve.
    half = torch.linalg.solve_triangular(factor, q[..., None], upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True).squeeze(-1)


class KernelNormalEquations(Solver):
    r"""Positive weights x linear model x exact: the same, with all past pairs at hand.

    Weights and ridge are divided by the largest weight of each row, which changes no solution and
    keeps sharp kernels from overflowing.
    """

    name: ClassVar[str] = "kernel_normal_equations"
    cost: ClassVar[str] = "T^2 F^2 + T F^3, one dense solve per token"
    weights = PositiveWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Exact,)

    def declines(self, spec: Spec) -> str | None:
        if spec.weights.per_feature:
            return "needs one weight per pair"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows, f = shape.batch * shape.heads * shape.length, shape.features
        held = rows * f * f + rows * shape.length
        return Estimate(rows * (2.0 * shape.length * f * f + f**3), 8.0 * held)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        whole = with_past(x, state)
        q, k = features(spec, whole, params)
        q, k, v = precise(spec, q, k, whole.v)
        assert isinstance(spec.weights, PositiveWeights)
        log = spec.weights.log_matrix(whole, axis(params, "weights"))[..., 0].to(k.dtype)
        top = log.detach().amax(-1, keepdim=True)
        weights, scale = (log - top).exp(), (-top[..., 0]).exp()
        outer = (k[..., :, None] * k[..., None, :]).flatten(-2)
        outputs = []
        blocks = zip(q.split(BLOCK, 2), weights.split(BLOCK, 2), scale.split(BLOCK, 2), strict=True)
        for queries, rows, scales in blocks:
            grams = (rows @ outer).unflatten(-1, (k.shape[-1], -1))
            solved = _solve(grams, queries, spec, scales)
            outputs.append((rows * (solved @ k.mT)) @ v)
        return torch.cat(outputs, 2).to(x.v.dtype), past(whole, spec.weights.reach)
