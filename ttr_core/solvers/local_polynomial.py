"""Positive weights x a polynomial around the query: one small covariance per query."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import Singular
from ..limits import Estimate, Shape
from ..precision import readable
from ..space.functions import LocalModel
from ..space.optimizers import Exact, OneStep, Optimizer
from ..space.spec import Spec, axis
from ..space.weights import PositiveWeights
from ..stream import Stream
from ..systems import solve_positive
from .base import Params, Solver, State, kept_formula, kept_size, past, with_past

BLOCK = 16  # queries at a time; each holds its offsets from every key, T x F numbers
HELD = 1 << 22  # numbers that the systems of a block in the dual may hold
SAFE_RATIO = 1e-5
"""Smallest ridge over (weights x |psi|^2 at |q|^2 + |k|^2) that is solved in the input's type.

Measured in float32: errors up to 1e-5 above it and 4e-5 at 1e-6.
"""
SAFE_DUAL_RATIO = 1e-4
"""The same in the dual, which is centered by subtraction: 2e-5 above it, 2e-4 at 1e-5."""


class LocalPolynomial(Solver):
    r"""Positive weights x local polynomial x exact, in centered form.

    With $p$ the weights divided by their sum $\omega$, $d_i = \psi(k_i - q_t)$ and bars for means
    under $p$:

    $$y_t = \bar v - \sum_i p_i (v_i - \bar v)(d_i - \bar d)^\top
    \Big(\sum_i p_i (d_i - \bar d)(d_i - \bar d)^\top + \tfrac{\lambda}{\omega} I\Big)^{-1} \bar d$$

    Nothing large is subtracted and no weight overflows: $p$ is a softmax, and the ridge beside it
    is taken from the logarithm of $\omega$. Where the ridge is small beside the weights, the whole
    is solved in float64. Blocks are recomputed in the backward pass, so that memory grows with T
    and not with its square times F.

    A polynomial with more slopes than the key has entries is solved in the dual as long as its
    pairs are fewer: with $M_{ij} = \psi(k_i - q_t)^\top \psi(k_j - q_t)$ in closed form, centered
    under $p$ and scaled by its roots, a system of the size of the past.

    One step from zero leaves the constant $\sum_i \gamma_i v_i$, and the slope is not read.
    """

    name: ClassVar[str] = "local_polynomial"
    cost: ClassVar[str] = "T^2 F^2 + T F^3, or T^4 where F > T: one dense solve per token"
    weights = PositiveWeights
    function = LocalModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Exact, OneStep)

    def declines(self, spec: Spec) -> str | None:
        if spec.weights.per_feature:
            return "needs one weight per pair"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        heads, f = shape.batch * shape.heads, shape.features
        rows = heads * shape.length
        pairs = float(rows * shape.length)
        if isinstance(spec.optimizer, OneStep):
            return Estimate(2.0 * pairs * (shape.key_dim + shape.value_dim), 12.0 * pairs)
        side = min(f, shape.length) if _curved(spec, shape.key_dim) else f
        block = heads * min(BLOCK, shape.length) * shape.length * side
        flops = pairs * (side * side + 4.0 * side + 2.0 * shape.value_dim) + rows * side**3
        return Estimate(flops, 8.0 * (3 * block + 2 * pairs))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        whole = with_past(x, state)
        log = _log_weights(spec, whole, params)
        if isinstance(spec.optimizer, OneStep):
            return log.exp() @ whole.v, past(whole, spec.weights.reach)
        wide = whole
        if _needs_float64(spec, whole, log):
            wide = whole.map(lambda z: z.double())
            log = _log_weights(spec, wide, params)
        y = _exact(spec, wide.q, wide.k, wide.v, log)
        return y.to(x.v.dtype), past(whole, spec.weights.reach)


def _log_weights(spec: Spec, x: Stream, params: Params) -> Tensor:
    """Returns log gamma, [B, H, Tq, T]."""
    assert isinstance(spec.weights, PositiveWeights)
    return spec.weights.log_matrix(x, axis(params, "weights"))[..., 0].to(x.k.dtype)


def _curved(spec: Spec, key_dim: int) -> bool:
    """Whether there are more slopes than entries of the key, so that the dual may be cheaper.

    A pseudo-inverse would take what subtraction leaves for data: without a ridge, no dual.
    """
    assert isinstance(spec.optimizer, Exact) and isinstance(spec.function, LocalModel)
    return spec.optimizer.ridge > 0 and spec.function.width(key_dim) - 1 > key_dim


def _needs_float64(spec: Spec, x: Stream, log: Tensor) -> bool:
    """Whether the ridge is too small beside the weights for the input's type."""
    assert isinstance(spec.optimizer, Exact) and isinstance(spec.function, LocalModel)
    if not readable(log):
        return True  # to ask would be to wait for an accelerator
    ratio = spec.optimizer.ridge * (-log.detach().logsumexp(-1)).exp()
    reach = x.q.detach().square().sum(-1).amax() + x.k.detach().square().sum(-1).amax()
    safe = SAFE_DUAL_RATIO if _curved(spec, x.key_dim) else SAFE_RATIO
    return bool((ratio < safe * spec.function.inner(reach)).any())


def _exact(spec: Spec, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    """Returns y, [B, H, Tq, V], a block of queries and the keys that it may see at a time."""
    outputs, first = [], k.shape[2] - q.shape[2]
    size = _rows(spec, k)
    for start in range(0, q.shape[2], size):
        rows = slice(start, min(start + size, q.shape[2]))
        seen = slice(first + rows.stop)
        block = (spec, q[:, :, rows], k[:, :, seen], v[:, :, seen], log[:, :, rows, seen])
        if torch.is_grad_enabled():
            y = checkpoint(_block, *block, use_reentrant=False, preserve_rng_state=False)
        else:
            y = _block(*block)
        outputs.append(y)
    return torch.cat(outputs, 2)


def _rows(spec: Spec, k: Tensor) -> int:
    """Returns how many queries are solved at a time."""
    if not _curved(spec, k.shape[-1]):
        return BLOCK
    heads, length = k.shape[0] * k.shape[1], k.shape[2]
    return max(1, min(BLOCK, HELD // (heads * length * length)))


def _block(spec: Spec, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    assert isinstance(spec.function, LocalModel)
    slopes = spec.function.width(k.shape[-1]) - 1
    dual = _curved(spec, k.shape[-1]) and k.shape[2] <= slopes
    p = log.softmax(-1)
    turned = _dual(spec, q, k, log) if dual else _primal(spec, q, k, log)
    # The rest of rounding, sum_i p_i (d_i - mean) = 0, would be multiplied by the mean value.
    turned = turned - p * turned.sum(-1, keepdim=True)
    return (p - turned) @ v


def _primal(spec: Spec, q: Tensor, k: Tensor, log: Tensor) -> Tensor:
    """Returns p_i (d_i - mean)^T (C + ridge)^-1 mean, [B, H, C, T], by the covariance C."""
    assert isinstance(spec.function, LocalModel)
    p = log.softmax(-1)
    offsets = spec.function.slopes(k[:, :, None] - q[:, :, :, None])  # (B H C T F)
    mean = p[..., None, :] @ offsets  # (B H C 1 F)
    centered = offsets - mean
    covariance = (p[..., None] * centered).mT @ centered
    tilt = _solve(spec, covariance, mean.mT, log.logsumexp(-1))  # (B H C F 1)
    return p * (centered @ tilt).squeeze(-1)


def _dual(spec: Spec, q: Tensor, k: Tensor, log: Tensor) -> Tensor:
    """Returns the same by the inner products of the offsets, a T x T system for every query."""
    assert isinstance(spec.function, LocalModel)
    mass = log.logsumexp(-1)
    root = ((log - mass[..., None]) / 2).exp()  # not the root of p: its slope at 0 is infinite
    half = (q.square().sum(-1, keepdim=True) / 2 - q @ k.mT)[..., None]
    gram = spec.function.inner((k @ k.mT)[:, :, None] + (half + half.mT))  # (B H C T T)
    mean = gram @ root.square()[..., None]  # d_i . mean
    square = root.square()[..., None, :] @ mean  # mean . mean
    root, shift = root[..., None], root[..., None] * (square / 2 - mean)
    outer = torch.cat([shift, root], -1) @ torch.cat([root, shift], -1).mT
    tilt = _solve(spec, root * gram * root.mT + outer, root * (mean - square), mass)
    return (root * tilt).squeeze(-1)


def _solve(spec: Spec, covariance: Tensor, mean: Tensor, log_mass: Tensor) -> Tensor:
    r"""Solves $(C + (\lambda / \omega) I) x = \bar d$ for every query.

    Both sides are divided by $1 + \lambda / \omega$, so that neither a ridge far above the weights
    nor one far below overflows.

    Args:
        spec: whose ridge it is.
        covariance: C, of the offsets under weights of sum 1, [B, H, C, F, F], or its dual.
        mean: $\bar d$, [B, H, C, F, 1], or its dual.
        log_mass: $\log \omega$, [B, H, C].

    Raises:
        Singular: C and the ridge leave a matrix that cannot be factored.
    """
    assert isinstance(spec.optimizer, Exact)
    ridge = spec.optimizer.ridge
    if ridge == 0:
        return torch.linalg.pinv(covariance, hermitian=True) @ mean
    log_ratio = (math.log(ridge) - log_mass)[..., None, None]
    data, prior = (-log_ratio).sigmoid(), log_ratio.sigmoid()
    matrix = data * covariance
    matrix.diagonal(dim1=-2, dim2=-1).add_(prior.squeeze(-1))
    solved, sound = solve_positive(matrix, data * mean)
    if not sound:
        raise Singular(
            f"{spec}: the local covariance is singular in {mean.dtype}: the ridge is too small "
            "beside the weights. Raise the ridge or lower the kernel's scale."
        )
    return solved
