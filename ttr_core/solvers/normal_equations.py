"""Least squares under any weights: the normal equations of every token, solved densely."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import Singular
from ..fading import left
from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import FixedRidge, Iterations
from ..space.readouts import Direct, Mixes, Readout
from ..space.weights import MemorylessWeights, PositiveWeights
from ..systems import solve_positive
from .base import Solver
from .problem import Problem
from .ridges import SAFE_RIDGE, precise
from .state import Matrix, Past, State

BLOCK = 16  # queries at a time; each holds an F x F matrix
AGAIN = 2048
"""Tokens from which the backward pass forms these matrices once more, at the price of one more
forward pass, and what lies between blocks is kept alone: F^2 numbers of each token are, at 64
features, 16 times its own."""


_Running = Problem[MemorylessWeights, LinearModel, FixedRidge | Iterations]
_Kernel = Problem[PositiveWeights, LinearModel, FixedRidge | Iterations]


class NormalEquations(Solver[_Running]):
    r"""Decays x linear model x exact: $(G_t + \lambda I) x_t = \phi(q_t)$ for every token.

    Each block of queries forms its Gram matrices from the block's keys and the decayed moments
    before it, so that time is linear in T and the state has a fixed size. A ridge of 0 takes the
    pseudo-inverse in float64 (minimum norm).
    """

    name: ClassVar[str] = "normal_equations"
    cost: ClassVar[str] = "T F^3, one dense solve per token"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Mixes)

    def finer(self, p: _Running) -> bool:
        return not isinstance(p.optimizer, Iterations) and p.optimizer.ridge < SAFE_RIDGE

    def work(self, p: _Running, shape: Shape) -> Estimate:
        rows, f = shape.batch * shape.heads * shape.length, shape.features
        held = shape.batch * shape.heads * shape.length * f * f
        return Estimate(rows * (f**3 + 2 * BLOCK * f * f), 8.0 * held)

    def state(self, p: _Running) -> State:
        return Matrix(p.function, gram=True)

    def solve(self, p: _Running, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, (q, k) = p.x, p.features()
        q, k, v = _precise(p, q, k, x.v)
        log_decay, importance = p.recency()
        log_decay = torch.zeros_like(k[..., :1]) if log_decay is None else log_decay.to(k.dtype)
        importance = torch.ones_like(k[..., :1]) if importance is None else importance.to(k.dtype)
        batch, heads, _, width = k.shape
        gram = k.new_zeros(batch, heads, width, width) if kept is None else kept["G"]
        moment = k.new_zeros(batch, heads, width, x.value_dim) if kept is None else kept["R"]
        outputs = []
        tensors = [z.split(BLOCK, 2) for z in (q, k, v, log_decay, importance)]
        shares = _shares(p, q).split(BLOCK, 2)
        solved: Callable[..., tuple[Tensor, Tensor, Tensor]] = _block
        if torch.is_grad_enabled() and x.length >= AGAIN:
            solved = partial(checkpoint, _block, use_reentrant=False, preserve_rng_state=False)
        for share, *own in zip(shares, *tensors, strict=True):
            y, gram, moment = solved(p, share, *own, gram, moment)
            outputs.append(y)
        return p.read(torch.cat(outputs, 2).to(x.v.dtype)), {"G": gram, "R": moment}


def _precise(p: Problem[Any, LinearModel, FixedRidge | Iterations], *z: Tensor) -> list[Tensor]:
    """Returns tensors in the precision of the ridge; one in proportion to |H| asks for none."""
    return [*z] if isinstance(p.optimizer, Iterations) else precise(p.optimizer.ridge, *z)


def _shares(p: _Running, q: Tensor) -> Tensor:
    """Returns the share of the fit in what is read, [B, H, T, 1]."""
    if isinstance(p.readout, Mixes):
        return p.readout.share(p.x.signals).to(q.dtype)
    return torch.ones_like(q[..., :1])


def _block(
    p: _Running,
    share: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    importance: Tensor,
    gram: Tensor,
    moment: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Solves one block and returns its outputs and the moments after it."""
    between, kept = _left(log_decay)  # (B H C C w) and (B H C w)
    if not p.weights.per_feature:
        weights = between[..., 0] * importance.mT  # (B H C C)
        outer = (k[..., :, None] * k[..., None, :]).flatten(-2)  # (B H C F^2)
        grams = (weights @ outer).unflatten(-1, (k.shape[-1], -1))
        grams = grams + kept[..., None] * gram[:, :, None]
    else:
        keys = between * (importance * k)[:, :, None]  # (B H C C F)
        grams = keys.mT @ keys + kept[..., :, None] * kept[..., None, :] * gram[:, :, None]
    if not p.optimizer.linear_in_values:
        if not p.weights.per_feature:
            keys = weights[..., None] * k[:, :, None]
        moments = keys.mT @ v[:, :, None] + kept[..., None] * moment[:, :, None]
        after = grams[:, :, -1].clone(), moments[:, :, -1].clone()
        return _by_memory(p, share, q, grams, moments), *after
    solved = _solve(p, grams, q)  # (B H C F)
    solved = q + share * (solved - q) if isinstance(p.readout, Mixes) else solved
    if not p.weights.per_feature:
        scores = weights * (solved @ k.mT)
        last = weights[:, :, -1, :, None] * k
    else:
        scores = (keys @ solved[..., None]).squeeze(-1)
        last = keys[:, :, -1]
    y = scores @ v + (solved * kept) @ moment
    decayed = moment * kept[:, :, -1, :, None]
    return y, grams[:, :, -1].clone(), decayed + last.mT @ v  # a view would keep those before it


def _by_memory(p: _Running, share: Tensor, q: Tensor, grams: Tensor, moments: Tensor) -> Tensor:
    """Returns outputs where the steps depend on the values, so that each memory is made."""
    assert isinstance(p.optimizer, Iterations)
    memory = p.optimizer.solved(grams, moments)
    if isinstance(p.readout, Mixes):
        memory = moments + share[..., None] * (memory - moments)
    return (q[..., None, :] @ memory).squeeze(-2)


def _left(log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what is left between tokens and of the past, [B, H, C, C, w] and [B, H, C, w]."""
    between, since, _ = left(log_decay.mT[..., None])
    return between.movedim(2, -1), since[..., 0].mT


def _solve(p: _Kernel, grams: Tensor, q: Tensor, scale: Tensor | None = None) -> Tensor:
    """Solves (G + ridge) x = q for every token; the ridge leaves intercepts alone.

    Args:
        p: whose ridge it is.
        grams: G, [B, H, C, F, F].
        q: right-hand sides, [B, H, C, F].
        scale: what each G has been multiplied by, [B, H, C]; the ridge is too. None for 1.

    Raises:
        Singular: G and the ridge leave a matrix that cannot be factored.
    """
    if isinstance(p.optimizer, Iterations):
        return p.optimizer.solved(grams, q[..., None]).squeeze(-1)
    width, free = q.shape[-1], p.function.intercepts
    if p.optimizer.ridge == 0 and free < width:
        inverse = torch.linalg.pinv(grams, hermitian=True)
        answers: Tensor = (inverse @ q[..., None]).squeeze(-1)
        return answers
    ridge = p.optimizer.diagonal(width, free, q).diag()
    added = ridge if scale is None else ridge * scale[..., None, None]
    if free:  # a coefficient that no pair has a weight for stays 0
        unseen = grams.diagonal(dim1=-2, dim2=-1) == 0
        unseen = unseen & (torch.arange(width, device=q.device) < free)
        added = added + unseen.to(added).diag_embed()
    solved, found = solve_positive(grams + added, q[..., None])
    if not found:
        raise Singular(
            f"{p}: the normal equations are singular in {q.dtype}: the ridge is too small "
            "beside the weights. Raise the ridge or lower the kernel's scale."
        )
    return solved.squeeze(-1)


class KernelNormalEquations(Solver[_Kernel]):
    r"""Positive weights x linear model x exact: the same, with all past pairs at hand.

    Weights and ridge are divided by the largest weight of each row, which changes no solution and
    keeps sharp kernels from overflowing.
    """

    name: ClassVar[str] = "kernel_normal_equations"
    cost: ClassVar[str] = "T^2 F^2 + T F^3, one dense solve per token"

    def declines(self, p: _Kernel) -> str | None:
        if p.weights.per_feature:
            return "needs one weight per pair"
        if not p.optimizer.linear_in_values:
            return "takes the same steps for every right-hand side, from the query"
        return None

    def work(self, p: _Kernel, shape: Shape) -> Estimate:
        rows, f = shape.batch * shape.heads * shape.length, shape.features
        held = rows * f * f + rows * shape.length
        return Estimate(rows * (2.0 * shape.length * f * f + f**3), 8.0 * held)

    def state(self, p: _Kernel) -> State:
        return Past(p.spec)

    def solve(self, p: _Kernel, kept: Carried | None) -> tuple[Tensor, Carried]:
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        q, k, v = _precise(p, *p.features(x), x.v)
        log, empty = p.weighed(x)
        log = log.to(k.dtype)
        top = log.detach().amax(-1, keepdim=True)
        weights, scale = (log - top).exp(), (-top[..., 0]).exp()
        outer = (k[..., :, None] * k[..., None, :]).flatten(-2)
        outputs = []
        blocks = zip(q.split(BLOCK, 2), weights.split(BLOCK, 2), scale.split(BLOCK, 2), strict=True)
        for queries, rows, scales in blocks:
            grams = (rows @ outer).unflatten(-1, (k.shape[-1], -1))
            solved = _solve(p, grams, queries, scales)
            outputs.append((rows * (solved @ k.mT)) @ v)
        y = torch.cat(outputs, 2).to(x.v.dtype)
        return p.read(y if empty is None else y.masked_fill(empty, 0.0)), past.keep(x)
