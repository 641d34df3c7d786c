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
from ..space.functions import LocalModel, ParabolaModel
from ..space.optimizers import FixedRidge, Sum
from ..space.weights import PositiveWeights
from ..stream import Stream
from ..systems import solve_positive
from .base import Solver
from .local_dual import TOGETHER, local_dual
from .problem import Problem
from .state import Past, State

BLOCK = 16  # queries at a time; each holds its offsets from every key, T x F numbers
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

    A parabola has more slopes than the key has entries. Queries that see fewer pairs than that
    are answered in the dual (`local_dual`), by a system of the size of their past.

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
        early = heads * fit.early(shape.key_dim, 0, shape.length)
        seen = min(f, shape.length)
        flops = early * (seen**3 / 12 + 4.0 * seen**2) + 2.0 * pairs * shape.value_dim
        late = rows - early
        flops += late * (shape.length * (f + 4.0) * f + f**3 / 3)
        block = min(TOGETHER, rows * shape.length) if early else 0
        block += heads * min(BLOCK, shape.length) * shape.length * f if late else 0
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

    @property
    def dual(self) -> bool:
        """Whether systems of the size of the past are an alternative.

        A pseudo-inverse would take what subtraction leaves for data: without a ridge, no dual.
        """
        return self.ridge > 0 and isinstance(self.model, ParabolaModel)

    def early(self, key_dim: int, before: int, queries: int) -> int:
        """Returns how many queries see no more pairs than there are slopes.

        Args:
            key_dim: K, which says how many slopes.
            before: how many pairs are older than the first query's own.
            queries: how many there are.
        """
        slopes = self.model.width(key_dim) - 1
        return max(0, min(queries, slopes - before)) if self.dual else 0

    def check(self, found: bool) -> None:
        """Refuses a fit without a solution.

        Raises:
            Singular: some covariance and the ridge leave a matrix that cannot be factored.
        """
        if not found:
            raise Singular(
                f"{self.text}: the local covariance is singular: the ridge is too small beside "
                "the weights. Raise the ridge or lower the kernel's scale."
            )

    def needs_float64(self, x: Stream, log: Tensor) -> bool:
        """Whether the ridge is too small beside the weights for the input's type."""
        if not readable(log):
            return True  # to ask would be to wait for an accelerator
        ratio = self.ridge * (-log.detach().logsumexp(-1)).exp()
        reach = x.q.detach().square().sum(-1).amax() + x.k.detach().square().sum(-1).amax()
        safe = SAFE_DUAL_RATIO if self.dual else SAFE_RATIO
        return bool((ratio < safe * self.model.inner(reach)).any())


def _exact(fit: _Fit, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    """Returns y, [B, H, Tq, V], of queries with a short past in the dual, of the rest by blocks."""
    first, queries = k.shape[2] - q.shape[2], q.shape[2]
    start, outputs = fit.early(k.shape[-1], first, queries), []
    if start:
        rows, seen = slice(start), slice(first + start)
        early = (q[:, :, rows], k[:, :, seen], v[:, :, seen], log[:, :, rows, seen])
        y, found = local_dual(*early, fit.ridge)
        fit.check(found)
        outputs.append(y)
    for at in range(start, queries, BLOCK):
        rows = slice(at, min(at + BLOCK, queries))
        seen = slice(first + rows.stop)
        block = (fit, q[:, :, rows], k[:, :, seen], v[:, :, seen], log[:, :, rows, seen])
        if torch.is_grad_enabled():
            y = checkpoint(_block, *block, use_reentrant=False, preserve_rng_state=False)
        else:
            y = _block(*block)
        outputs.append(y)
    return torch.cat(outputs, 2)


def _block(fit: _Fit, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    """Returns the outputs of some queries by the covariance of their offsets from all keys."""
    p = log.softmax(-1)
    turned = _turned(fit, q, k, log)
    # The rest of rounding, sum_i p_i (d_i - mean) = 0, would be multiplied by the mean value.
    turned = turned - p * turned.sum(-1, keepdim=True)
    return (p - turned) @ v


def _turned(fit: _Fit, q: Tensor, k: Tensor, log: Tensor) -> Tensor:
    """Returns p_i (d_i - mean)^T (C + ridge)^-1 mean, [B, H, C, T]."""
    p = log.softmax(-1)
    offsets = fit.model.slopes(k[:, :, None] - q[:, :, :, None])  # (B H C T F)
    mean = p[..., None, :] @ offsets  # (B H C 1 F)
    centered = offsets - mean
    covariance = (p[..., None] * centered).mT @ centered
    tilt = _solve(fit, covariance, mean.mT, log.logsumexp(-1))  # (B H C F 1)
    return p * (centered @ tilt).squeeze(-1)


def _solve(fit: _Fit, covariance: Tensor, mean: Tensor, log_mass: Tensor) -> Tensor:
    r"""Solves $(C + (\lambda / \omega) I) x = \bar d$ for every query.

    Both sides are divided by $1 + \lambda / \omega$, so that neither a ridge far above the weights
    nor one far below overflows.

    Args:
        fit: whose ridge it is.
        covariance: C, of the offsets under weights of sum 1, [B, H, C, F, F].
        mean: $\bar d$, [B, H, C, F, 1].
        log_mass: $\log \omega$, [B, H, C].

    Raises:
        Singular: C and the ridge leave a matrix that cannot be factored.
    """
    ridge = fit.ridge
    if ridge == 0:
        # Beside weights of sum 1 what stands for a weight of 0 is none, were it alone there.
        eps = covariance.shape[-1] * torch.finfo(covariance.dtype).eps
        inverse = torch.linalg.pinv(covariance, atol=1e-25, rtol=eps, hermitian=True)
        slopes: Tensor = inverse @ mean
        return slopes
    log_ratio = (math.log(ridge) - log_mass)[..., None, None]
    data, prior = (-log_ratio).sigmoid(), log_ratio.sigmoid()
    matrix = data * covariance
    matrix.diagonal(dim1=-2, dim2=-1).add_(prior.squeeze(-1))
    solved, found = solve_positive(matrix, data * mean)
    fit.check(found)
    return solved
