"""Positive weights x a polynomial around the query: one small covariance per query."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import Singular
from ..limits import Estimate, Shape
from ..named import Carried
from ..precision import readable
from ..space.functions import LocalModel
from ..space.optimizers import FixedRidge, Sum
from ..space.weights import PositiveWeights
from ..stream import Stream
from ..systems import solve_positive
from .base import Solver
from .problem import Problem
from .state import Past, State

BLOCK = 16  # queries at a time; each holds its offsets from every key, T x F numbers
HELD = 1 << 22  # numbers that the systems of a block in the dual may hold
SAFE_RATIO = 1e-5
"""Smallest ridge over (weights x |psi|^2 at |q|^2 + |k|^2) that is solved in the input's type.

Measured in float32: errors up to 1e-5 above it and 4e-5 at 1e-6.
"""
SAFE_DUAL_RATIO = 1e-4
"""The same in the dual, which is centered by subtraction: 2e-5 above it, 2e-4 at 1e-5."""


_Asked = Problem[PositiveWeights, LocalModel, FixedRidge | Sum]


class LocalPolynomial(Solver[_Asked]):
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

    def declines(self, p: _Asked) -> str | None:
        if p.weights.per_feature:
            return "needs one weight per pair"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads, f = shape.batch * shape.heads, shape.features
        rows = heads * shape.length
        pairs = float(rows * shape.length)
        if isinstance(p.optimizer, Sum):
            return Estimate(2.0 * pairs * (shape.key_dim + shape.value_dim), 12.0 * pairs)
        fit = _Fit(str(p), p.function, p.optimizer.ridge)
        side = min(f, shape.length) if fit.curved(shape.key_dim) else f
        block = heads * min(BLOCK, shape.length) * shape.length * side
        flops = pairs * (side * side + 4.0 * side + 2.0 * shape.value_dim) + rows * side**3
        return Estimate(flops, 8.0 * (3 * block + 2 * pairs))

    def state(self, p: _Asked) -> State:
        return Past(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        log, empty = p.weighed(x)
        if isinstance(p.optimizer, Sum):
            factor = p.optimizer.factor(p.signals_of(x))
            v = x.v if factor is None else factor * x.v
            return p.read(log.exp() @ v), past.keep(x)
        fit, wide = _Fit(str(p), p.function, p.optimizer.ridge), x
        if fit.needs_float64(x, log):
            wide = x.map(lambda z: z.double())
            log = p.log_weights(wide)
        y = _exact(fit, wide.q, wide.k, wide.v, log).to(x.v.dtype)
        return p.read(y if empty is None else y.masked_fill(empty, 0.0)), past.keep(x)


class _Fit(NamedTuple):
    """A least-squares fit of a local model with a ridge.

    Args:
        text: of the layer, for errors.
        model: what is fitted.
        ridge: lambda.
    """

    text: str
    model: LocalModel
    ridge: float

    def curved(self, key_dim: int) -> bool:
        """Whether there are more slopes than entries of the key: the dual may be cheaper then.

        A pseudo-inverse would take what subtraction leaves for data: without a ridge, no dual.
        """
        return self.ridge > 0 and self.model.width(key_dim) - 1 > key_dim

    def needs_float64(self, x: Stream, log: Tensor) -> bool:
        """Whether the ridge is too small beside the weights for the input's type."""
        if not readable(log):
            return True  # to ask would be to wait for an accelerator
        ratio = self.ridge * (-log.detach().logsumexp(-1)).exp()
        reach = x.q.detach().square().sum(-1).amax() + x.k.detach().square().sum(-1).amax()
        safe = SAFE_DUAL_RATIO if self.curved(x.key_dim) else SAFE_RATIO
        return bool((ratio < safe * self.model.inner(reach)).any())


def _exact(fit: _Fit, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    """Returns y, [B, H, Tq, V], a block of queries and the keys that it may see at a time."""
    outputs, first = [], k.shape[2] - q.shape[2]
    size = _rows(fit, k)
    for start in range(0, q.shape[2], size):
        rows = slice(start, min(start + size, q.shape[2]))
        seen = slice(first + rows.stop)
        block = (fit, q[:, :, rows], k[:, :, seen], v[:, :, seen], log[:, :, rows, seen])
        if torch.is_grad_enabled():
            y = checkpoint(_block, *block, use_reentrant=False, preserve_rng_state=False)
        else:
            y = _block(*block)
        outputs.append(y)
    return torch.cat(outputs, 2)


def _rows(fit: _Fit, k: Tensor) -> int:
    """Returns how many queries are solved at a time."""
    if not fit.curved(k.shape[-1]):
        return BLOCK
    heads, length = k.shape[0] * k.shape[1], k.shape[2]
    return max(1, min(BLOCK, HELD // (heads * length * length)))


def _block(fit: _Fit, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    slopes = fit.model.width(k.shape[-1]) - 1
    dual = fit.curved(k.shape[-1]) and k.shape[2] <= slopes
    p = log.softmax(-1)
    turned = _dual(fit, q, k, log) if dual else _primal(fit, q, k, log)
    # The rest of rounding, sum_i p_i (d_i - mean) = 0, would be multiplied by the mean value.
    turned = turned - p * turned.sum(-1, keepdim=True)
    return (p - turned) @ v


def _primal(fit: _Fit, q: Tensor, k: Tensor, log: Tensor) -> Tensor:
    """Returns p_i (d_i - mean)^T (C + ridge)^-1 mean, [B, H, C, T], by the covariance C."""
    p = log.softmax(-1)
    offsets = fit.model.slopes(k[:, :, None] - q[:, :, :, None])  # (B H C T F)
    mean = p[..., None, :] @ offsets  # (B H C 1 F)
    centered = offsets - mean
    covariance = (p[..., None] * centered).mT @ centered
    tilt = _solve(fit, covariance, mean.mT, log.logsumexp(-1))  # (B H C F 1)
    return p * (centered @ tilt).squeeze(-1)


def _dual(fit: _Fit, q: Tensor, k: Tensor, log: Tensor) -> Tensor:
    """Returns the same by the inner products of the offsets, a T x T system for every query."""
    mass = log.logsumexp(-1)
    root = ((log - mass[..., None]) / 2).exp()  # not the root of p: its slope at 0 is infinite
    half = (q.square().sum(-1, keepdim=True) / 2 - q @ k.mT)[..., None]
    gram = fit.model.inner((k @ k.mT)[:, :, None] + (half + half.mT))  # (B H C T T)
    mean = gram @ root.square()[..., None]  # d_i . mean
    square = root.square()[..., None, :] @ mean  # mean . mean
    root, shift = root[..., None], root[..., None] * (square / 2 - mean)
    outer = torch.cat([shift, root], -1) @ torch.cat([root, shift], -1).mT
    tilt = _solve(fit, root * gram * root.mT + outer, root * (mean - square), mass)
    return (root * tilt).squeeze(-1)


def _solve(fit: _Fit, covariance: Tensor, mean: Tensor, log_mass: Tensor) -> Tensor:
    r"""Solves $(C + (\lambda / \omega) I) x = \bar d$ for every query.

    Both sides are divided by $1 + \lambda / \omega$, so that neither a ridge far above the weights
    nor one far below overflows.

    Args:
        fit: whose ridge it is.
        covariance: C, of the offsets under weights of sum 1, [B, H, C, F, F], or its dual.
        mean: $\bar d$, [B, H, C, F, 1], or its dual.
        log_mass: $\log \omega$, [B, H, C].

    Raises:
        Singular: C and the ridge leave a matrix that cannot be factored.
    """
    ridge = fit.ridge
    if ridge == 0:
        slopes: Tensor = torch.linalg.pinv(covariance, hermitian=True) @ mean
        return slopes
    log_ratio = (math.log(ridge) - log_mass)[..., None, None]
    data, prior = (-log_ratio).sigmoid(), log_ratio.sigmoid()
    matrix = data * covariance
    matrix.diagonal(dim1=-2, dim2=-1).add_(prior.squeeze(-1))
    solved, sound = solve_positive(matrix, data * mean)
    if not sound:
        raise Singular(
            f"{fit.text}: the local covariance is singular in {mean.dtype}: the ridge is too small "
            "beside the weights. Raise the ridge or lower the kernel's scale."
        )
    return solved
