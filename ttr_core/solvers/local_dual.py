"""Parabolas around the query: a system of the size of the past, and a gradient written by hand.

With m_ij = (k_i - q) . (k_j - q) = k_i . k_j - a_i - a_j, G_ij = psi(k_i - q) . psi(k_j - q) =
m_ij + m_ij^2, the weights w and their sum omega, the fit around a query is

    (G + ridge / w) alpha = 1,    y = sum_i alpha_i v_i / sum_i alpha_i

which is solved between the roots R of the weights divided by omega, B = data R G R + prior with
data = 1 / (1 + ridge / omega) and prior the rest of 1: B s = root, alpha = R s.

Backward, with c_i = (v_i . g - y . g) / sum alpha, z = B^-1 R c and zeta = data R z, what the
systems ask for is dlog = prior z s; and as m is linear in the products of keys and in a, the
gradients of those are a few products of matrices [T, T], for all queries at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..systems import factor_in_place, substitute

BLOCK = 16  # queries at a time, as long as their systems hold no more numbers than this:
TOGETHER = 1 << 19
HELD = 1 << 25  # numbers that factors may hold between the passes; more are formed once more


def local_dual(q: Tensor, k: Tensor, v: Tensor, log: Tensor, ridge: float) -> tuple[Tensor, bool]:
    """Returns y, [B, H, Tq, V], and whether every system could be factored.

    Args:
        q: queries, those of the last tokens, [B, H, Tq, K].
        k: keys, [B, H, T, K].
        v: values, [B, H, T, V].
        log: log weights, [B, H, Tq, T]; -inf for later keys.
        ridge: above 0.
    """
    a = q @ k.mT - q.square().sum(-1, keepdim=True) / 2
    a, products, v, log = (z.flatten(0, 1) for z in (a, k @ k.mT, v, log))
    fits, found = _fits(a.detach(), products.detach(), log.detach(), ridge)
    run: Callable[..., Tensor] = ParabolaAnswers.apply
    return run(a, products, v, log, ridge, *fits).unflatten(0, q.shape[:2]), found


class ParabolaAnswers(torch.autograd.Function):
    """The outputs of all queries, with one axis for batch and heads: a is [N, Tq, T]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        a: Tensor, products: Tensor, v: Tensor, log: Tensor, ridge: float, s: Tensor, *fits: Tensor
    ) -> Tensor:
        """Returns y, [N, Tq, V]; s, [N, Tq, T], and the factors of the blocks are constants."""
        alpha = _Weights.of(log, ridge).root * s
        return (alpha / alpha.sum(-1, keepdim=True)) @ v

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keeps what the gradient needs."""
        a, products, v, log, ctx.ridge, *fits = inputs
        ctx.save_for_backward(a, products, v, log, *fits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of a, the products of keys, v and log."""
        a, products, v, log, s, *factors = ctx.saved_tensors
        weights = _Weights.of(log, ctx.ridge)
        alpha = weights.root * s
        total = alpha.sum(-1, keepdim=True)
        h = grad @ v.mT
        right = weights.root * (h - torch.linalg.vecdot(alpha, h)[..., None] / total) / total
        z = torch.zeros_like(a)
        for n, block in enumerate(_blocks(a)):
            factor = factors[n] if factors else _factored(block, a, products, weights)[0]
            z[block] = substitute(factor, right[block][..., None]).squeeze(-1)
        zeta = weights.data * weights.root * z
        by_alpha, by_zeta = _products(a, products, alpha), _products(a, products, zeta)
        da = zeta * (total + 2 * by_alpha) + alpha * (zeta.sum(-1, keepdim=True) + 2 * by_zeta)
        crossed = (zeta * a).mT @ alpha + zeta.mT @ (alpha * a)
        dproducts = 2 * crossed - (1 + 2 * products) * (zeta.mT @ alpha)
        dv, dlog = (alpha / total).mT @ grad, weights.prior * z * s
        return da, dproducts, dv, dlog, None, None, *(None for _ in factors)


def _blocks(a: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Yields heads, queries and the keys that these may see; heads together if they are short."""
    count, queries, length = a.shape
    many = max(1, min(count, TOGETHER // length**2))
    size = max(1, min(BLOCK, TOGETHER // (many * length**2)))
    for n in range(0, count, many):
        for t in range(0, queries, size):
            stop = min(t + size, queries)
            yield slice(n, n + many), slice(t, stop), slice(length - queries + stop)


class _Weights(NamedTuple):
    r"""The weights of all queries beside the ridge.

    Args:
        root: roots of the weights divided by their sum, [N, Tq, T].
        data: $1 / (1 + \lambda / \omega)$, [N, Tq, 1].
        prior: $1 - $ that.
    """

    root: Tensor
    data: Tensor
    prior: Tensor

    @classmethod
    def of(cls, log: Tensor, ridge: float) -> _Weights:
        """Returns them for log weights; the root is not that of p, whose slope is infinite at 0."""
        mass = log.logsumexp(-1, keepdim=True)
        log_ratio = math.log(ridge) - mass
        return cls(((log - mass) / 2).exp(), (-log_ratio).sigmoid(), log_ratio.sigmoid())


def _fits(a: Tensor, products: Tensor, log: Tensor, ridge: float) -> tuple[list[Tensor], bool]:
    """Returns s, the factors of the blocks if they are kept, and whether all could be factored."""
    weights, s, factors, every = _Weights.of(log, ridge), torch.zeros_like(a), [], True
    kept = torch.is_grad_enabled() and a.numel() * a.shape[-1] / 3 <= HELD
    for block in _blocks(a):
        factor, found = _factored(block, a, products, weights)
        every &= found
        s[block] = substitute(factor, weights.root[block][..., None]).squeeze(-1)
        factors += [factor] if kept else []
    return [s, *factors], every


def _factored(
    block: tuple[slice, slice, slice], a: Tensor, products: Tensor, weights: _Weights
) -> tuple[Tensor, bool]:
    """Returns Cholesky factors of the systems of a block, and whether there are such."""
    heads, queries, seen = block
    own = a[block]
    system = products[heads, None, seen, seen] - own[..., None]
    system -= own[..., None, :]
    system.addcmul_(system, system)
    root = weights.root[block]
    system *= (weights.data[heads, queries] * root)[..., None]
    system *= root[..., None, :]
    system.diagonal(dim1=-2, dim2=-1).add_(weights.prior[heads, queries])
    return system, factor_in_place(system)


def _products(a: Tensor, products: Tensor, x: Tensor) -> Tensor:
    """Returns sum_j m_ij x_j for every query."""
    return x @ products - a * x.sum(-1, keepdim=True) - (a * x).sum(-1, keepdim=True)
