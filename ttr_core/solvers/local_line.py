"""Lines around the query: one small system per query, and a gradient written by hand.

With p the weights divided by their sum omega, bars for means under p and x_t the solution of

    (sum_i p_i (k_i - kbar)(k_i - kbar)^T + ridge / omega) x_t = kbar - q_t

the output is y_t = sum_i a_ti v_i with the effective weights a_ti = p_ti (1 - e_ti), where
e_ti = (k_i - kbar) . x_t. No value enters a system, so there is one right-hand side per query.

Backward, with g the gradient of y, h_ti = g_t . (v_i - vbar), z_t the solution of the same system
for sum_i p_ti h_ti k_i, f_ti = (k_i - kbar) . z_t and r = h - f:

    dlog = a r,    dq = z,    dv = a^T g,    dk = -(p r)^T x - a^T z

The ridge's dependence on omega, the means' on p and the softmax all cancel into the first. Nothing
larger than the weights is differentiated through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import Singular
from ..limits import Estimate, Shape
from ..named import Carried
from ..precision import readable
from ..space.functions import LineModel
from ..space.optimizers import FixedRidge
from ..space.weights import PositiveWeights
from ..systems import factor_in_place, substitute
from .base import Solver
from .covariances import FEW, Moments, spread_covariances
from .problem import Problem
from .state import Past, State

BLOCK = 128  # queries at a time, of one head or several: 2 MiB of systems of size 64
HELD = 1 << 25  # numbers that factors may hold between the passes; more are formed once more
PAST = 1 << 22  # numbers that the past of a few queries, one of each, may hold at a time
SAFE_RATIO = 2e-5
"""Smallest ridge / (omega |k|^2) that is solved in float32.

Measured against float64 from there on: outputs 5e-5, gradients 1e-4. Queries do not count: the
keys are centered, and a query far away is only a longer right-hand side.
"""
RESOLVED_RATIO = 1e-13
"""The same for float64 and covariances that are centered by subtraction; the rest are spread."""


_Asked = Problem[PositiveWeights, LineModel, FixedRidge]


class LocalLine(Solver[_Asked]):
    r"""Positive weights x a line around the query x exact, in effective weights.

    $$y_t = \sum_i p_i \big(1 - (k_i - \bar k)^\top x_t\big) v_i, \qquad
    \Big(\sum_i p_i (k_i - \bar k)(k_i - \bar k)^\top + \tfrac{\lambda}{\omega} I\Big) x_t
    = \bar k - q_t$$

    One right-hand side for a query, whatever the size of the values. The covariances of a block of
    queries are one product of its weights with the outer products of the keys. Where the ridge is
    small beside the weights, a block is solved in float64.

    Source: Local Linear Attention: An Optimal Interpolation of Linear and Softmax Attention for
    Test-Time Regression (Zuo et al., 2025) https://arxiv.org/abs/2510.01450
    """

    name: ClassVar[str] = "local_line"
    cost: ClassVar[str] = "T^2 (K^2 + 4 K + V) + T K^3 / 3, one small factor per token"

    def declines(self, p: _Asked) -> str | None:
        if p.weights.per_feature:
            return "needs one weight per pair"
        if p.optimizer.ridge == 0:
            return "needs a ridge above 0"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads, f = shape.batch * shape.heads, shape.key_dim
        rows = heads * shape.length
        pairs = float(rows * shape.length)
        flops = pairs * (f * f + 4.0 * f + shape.value_dim) + rows * f**3 / 3
        block = max(BLOCK, shape.length) * f * f
        return Estimate(flops, 4.0 * (3 * pairs + min(rows * f * f, HELD)) + 8.0 * 3 * block)

    def state(self, p: _Asked) -> State:
        return Past(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        log, empty = p.weighed(x)
        y, found = local_line(x.q, x.k, x.v, log, p.optimizer.ridge)
        if not found:
            raise Singular(
                f"{p}: the local covariance is singular: the ridge is too small "
                "beside the weights. Raise the ridge or lower the kernel's scale."
            )
        return p.read(y if empty is None else y.masked_fill(empty, 0.0)), past.keep(x)


def local_line(q: Tensor, k: Tensor, v: Tensor, log: Tensor, ridge: float) -> tuple[Tensor, bool]:
    """Returns y, [B, H, Tq, V], and whether every system could be factored.

    Args:
        q: queries, those of the last tokens, [B, H, Tq, K].
        k: keys, [B, H, T, K].
        v: values, [B, H, T, V].
        log: log weights, [B, H, Tq, T]; -inf for later keys.
        ridge: above 0.
    """
    near = _origin(k.detach())
    q, k, v, log = (z.flatten(0, 1) for z in (q - near, k - near, v, log))
    fits, found = _fits(q.detach(), k.detach(), log.detach(), ridge)
    run: Callable[..., Tensor] = LineAnswers.apply
    return run(q, k, v, log, ridge, *fits).unflatten(0, near.shape[:2]), found


def _origin(k: Tensor) -> Tensor:
    """Returns the first key of a head, or zero if the keys are no nearer to that.

    Only differences of keys and queries count, but covariances are centered by subtraction.
    """
    first = k[:, :, :1]
    reach, from_first = (z.square().sum(-1).amax(-1) for z in (k, k - first))
    return torch.where((from_first < reach)[..., None, None], first, 0.0)


class LineAnswers(torch.autograd.Function):
    """The outputs of all queries, with one axis for batch and heads: q is [N, Tq, K]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, log: Tensor, ridge: float, *fits: Tensor
    ) -> Tensor:
        """Returns y, [N, Tq, V]; the fits of each block are constants."""
        rows: dict[int, list[Tensor]] = {}
        for (heads, queries, seen), x in zip(_blocks(q, k), fits[::2], strict=True):
            p = log[heads, queries, seen].to(x.dtype).softmax(-1)
            a = _effective(p, x, k[heads, seen].to(x.dtype))
            rows.setdefault(heads.start, []).append(a.to(v.dtype) @ v[heads, seen])
        return torch.cat([torch.cat(row, 1) for row in rows.values()])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keeps what the gradient needs."""
        q, k, v, log, ctx.ridge, *fits = inputs
        ctx.save_for_backward(q, k, v, log, *fits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of q, k, v and log."""
        q, k, v, log, *fits = ctx.saved_tensors
        dq, dlog = torch.empty_like(q), torch.zeros_like(log)
        dk, dv, systems = torch.zeros_like(k), torch.zeros_like(v), _Systems(k, ctx.ridge)
        for block, x, factor in zip(_blocks(q, k), fits[::2], fits[1::2], strict=True):
            heads, queries, seen = block
            fit = systems.of(block, log, x.dtype, factor)
            g, p = grad[heads, queries].to(x.dtype), fit.p
            h = _centered(p, g @ v[heads, seen].to(x.dtype).mT)
            z = fit.solved((p * h) @ fit.keys)
            r = h.sub_(_centered(p, z @ fit.keys.mT))
            a = _effective(p, x, fit.keys)
            dlog[heads, queries, seen] = (a * r).to(log.dtype)
            dq[heads, queries] = z.to(q.dtype)
            dv[heads, seen] += (a.mT @ g).to(v.dtype)
            dk[heads, seen] -= ((p * r).mT @ x + a.mT @ z).to(k.dtype)
        return dq, dk, dv, dlog, None, *(None for _ in fits)


class Queries(NamedTuple):
    """Some queries of some heads, and the keys that they may see."""

    heads: slice
    queries: slice
    seen: slice


def _blocks(q: Tensor, k: Tensor) -> Iterator[Queries]:
    """Yields the blocks of queries; heads together where sequences are short."""
    count, queries, length = q.shape[0], q.shape[1], k.shape[1]
    size = min(BLOCK, queries)
    # By keys where their outer products are held, else by all that a few queries look back at.
    many = max(1, BLOCK // length if size > FEW else PAST // (size * k[0].numel()))
    for n in range(0, count, many):
        for t in range(0, queries, size):
            stop = min(t + size, queries)
            heads = slice(n, min(n + many, count))
            yield Queries(heads, slice(t, stop), slice(length - queries + stop))


def _fits(q: Tensor, k: Tensor, log: Tensor, ridge: float) -> tuple[list[Tensor], bool]:
    """Returns x and factors of every block in turn, and whether all could be factored."""
    few = q.numel() * q.shape[-1] <= HELD
    reach = k.square().sum(-1).amax(-1)
    ratio = math.log(ridge) - log.logsumexp(-1) - reach.log()[:, None]
    fits, systems, found = [], _Systems(k, ridge), True
    for block in _blocks(q, k):
        known, dtype = ratio[block.heads, block.queries], k.dtype
        # To ask would be to wait for an accelerator.
        if not readable(known) or (known < math.log(SAFE_RATIO)).any():
            dtype = torch.float64
        spread = readable(known) and bool((known < math.log(RESOLVED_RATIO)).any())
        fit = systems.of(block, log, dtype, None, spread)
        found &= fit.found
        x = fit.solved(fit.p @ fit.keys - q[block.heads, block.queries])
        if not torch.is_grad_enabled():  # no factor is asked for again
            fit = fit._replace(factor=x.new_empty(0))
        fits += [x, fit.factor if few or spread else fit.factor.new_empty(0)]
    return fits, found


class _Systems:
    """The systems of all blocks, which share the outer products of a head's keys.

    Args:
        k: keys, [N, T, K].
        ridge: lambda.
    """

    def __init__(self, k: Tensor, ridge: float) -> None:
        self.k, self.ridge = k, ridge
        self._at: tuple[slice, torch.dtype] | None = None

    def of(
        self,
        block: Queries,
        log: Tensor,
        dtype: torch.dtype,
        factor: Tensor | None,
        spread: bool = False,
    ) -> _System:
        """Returns the systems of one block.

        Args:
            block: which queries.
            log: log weights of all, [N, Tq, T].
            dtype: in which they are solved.
            factor: Cholesky factors, if they were kept; formed where there are none.
            spread: whether covariances are centered before they are formed.
        """
        heads, queries, seen = block
        if self._at != (heads, dtype):
            self._at, self._keys = (heads, dtype), self.k[heads].to(dtype)
            self._moments: Moments | None = None
        keys, rows = self._keys[:, seen], log[heads, queries, seen].to(dtype)
        p, log_ratio = rows.softmax(-1), math.log(self.ridge) - rows.logsumexp(-1, keepdim=True)
        data, prior = (-log_ratio).sigmoid(), log_ratio.sigmoid()
        if factor is not None and factor.numel():
            return _System(p, keys, data, prior, factor, True)
        if spread or p.shape[1] <= FEW:
            matrix = spread_covariances(p, keys)
        else:
            self._moments = self._moments or Moments(self._keys)
            matrix = self._moments.covariances(p)
        matrix *= data[..., None]
        matrix.diagonal(dim1=-2, dim2=-1).add_(prior)
        return _System(p, keys, data, prior, matrix, factor_in_place(matrix))


class _System(NamedTuple):
    r"""Covariance and ridge of some queries.

    Both sides are divided by $1 + \lambda / \omega$, so that neither a ridge far above the weights
    nor one far below overflows.

    Args:
        p: weights of sum 1, [N, C, T].
        keys: [N, T, K].
        data: $1 / (1 + \lambda / \omega)$, [N, C, 1].
        prior: $1 - $ that.
        factor: Cholesky factors in the lower triangles, [N, C, K, K].
        found: whether there are such.
    """

    p: Tensor
    keys: Tensor
    data: Tensor
    prior: Tensor
    factor: Tensor
    found: bool

    def solved(self, right: Tensor) -> Tensor:
        """Solves every system for one right-hand side, [N, C, K].

        Once more for what is left over, which the keys themselves tell more exactly than
        covariances that were centered by subtraction: it takes errors down to a third.
        """
        right = self.data * right
        x = substitute(self.factor, right[..., None]).squeeze(-1)
        fitted = (self.p * _centered(self.p, x @ self.keys.mT)) @ self.keys
        left = right - self.prior * x - self.data * fitted
        return x + substitute(self.factor, left[..., None]).squeeze(-1)


def _effective(p: Tensor, x: Tensor, keys: Tensor) -> Tensor:
    """Returns a = p (1 - e), [N, C, T]; its rows sum to 1."""
    return torch.addcmul(p, p, _centered(p, x @ keys.mT), value=-1)


def _centered(p: Tensor, x: Tensor) -> Tensor:
    """Subtracts the means under p from the rows of x, in place."""
    return x.sub_(torch.linalg.vecdot(p, x)[..., None])
