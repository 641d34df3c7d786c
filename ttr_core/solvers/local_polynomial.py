"""Positive weights x a polynomial around the query: one small covariance per query."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from ..errors import Singular
from ..functions import LocalModel
from ..limits import Estimate, Shape
from ..optimizers import Exact, OneStep, Optimizer
from ..spec import Spec, axis
from ..stream import Stream
from ..weights import PositiveWeights
from .base import Params, Solver, State, kept_formula, kept_size, past, with_past

BLOCK = 16  # queries at a time; each holds its offsets from every key, T x F numbers
SAFE_RATIO = 1e-5
"""Smallest ridge over (weights x (|q|^2 + |k|^2)) that is solved in the type of the input.

Measured in float32: errors up to 1e-5 above it and 4e-5 at 1e-6.
"""


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

    One step from zero leaves the constant $\sum_i \gamma_i v_i$, and the slope is not read.
    """

    name: ClassVar[str] = "local_polynomial"
    cost: ClassVar[str] = "T^2 F^2 + T F^3, one dense solve per token"
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
        block = heads * min(BLOCK, shape.length) * shape.length * f
        flops = pairs * (f * f + 4.0 * f + 2.0 * shape.value_dim) + rows * f**3
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
            return log.exp() @ whole.v, past(whole)
        wide = whole
        if _needs_float64(spec, whole, log):
            wide = whole.map(lambda z: z.double())
            log = _log_weights(spec, wide, params)
        y = _exact(spec, wide.q, wide.k, wide.v, log)
        return y.to(x.v.dtype), past(whole)


def _log_weights(spec: Spec, x: Stream, params: Params) -> Tensor:
    """Returns log gamma, [B, H, Tq, T]."""
    assert isinstance(spec.weights, PositiveWeights)
    return spec.weights.log_matrix(x, axis(params, "weights"))[..., 0].to(x.k.dtype)


def _needs_float64(spec: Spec, x: Stream, log: Tensor) -> bool:
    """Whether the ridge is too small beside the weights for the input's type."""
    assert isinstance(spec.optimizer, Exact)
    ratio = spec.optimizer.ridge * (-log.detach().logsumexp(-1)).exp()
    reach = x.q.detach().square().sum(-1).amax() + x.k.detach().square().sum(-1).amax()
    return bool((ratio < SAFE_RATIO * reach).any())


def _exact(spec: Spec, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    """Returns y, [B, H, Tq, V], a block of queries and the keys that it may see at a time."""
    outputs, first = [], k.shape[2] - q.shape[2]
    for start in range(0, q.shape[2], BLOCK):
        rows = slice(start, min(start + BLOCK, q.shape[2]))
        seen = slice(first + rows.stop)
        block = (spec, q[:, :, rows], k[:, :, seen], v[:, :, seen], log[:, :, rows, seen])
        if torch.is_grad_enabled():
            y = checkpoint(_block, *block, use_reentrant=False, preserve_rng_state=False)
        else:
            y = _block(*block)
        outputs.append(y)
    return torch.cat(outputs, 2)


def _block(spec: Spec, q: Tensor, k: Tensor, v: Tensor, log: Tensor) -> Tensor:
    assert isinstance(spec.function, LocalModel)
    p = log.softmax(-1)
    offsets = spec.function.slopes(k[:, :, None] - q[:, :, :, None])  # (B H C T F)
    mean = p[..., None, :] @ offsets  # (B H C 1 F)
    centered = offsets - mean
    covariance = (p[..., None] * centered).mT @ centered
    tilt = _solve(spec, covariance, mean.mT, log.logsumexp(-1))  # (B H C F 1)
    turned = p * (centered @ tilt).squeeze(-1)
    # The rest of rounding, sum_i p_i (d_i - mean) = 0, would be multiplied by the mean value.
    turned = turned - p * turned.sum(-1, keepdim=True)
    return (p - turned) @ v


def _solve(spec: Spec, covariance: Tensor, mean: Tensor, log_mass: Tensor) -> Tensor:
    r"""Solves $(C + (\lambda / \omega) I) x = \bar d$ for every query.

    Both sides are divided by $1 + \lambda / \omega$, so that neither a ridge far above the weights
    nor one far below overflows.

    Args:
        spec: whose ridge it is.
        covariance: C, of the offsets under weights of sum 1, [B, H, C, F, F].
        mean: $\bar d$, [B, H, C, F, 1].
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
    eye = torch.eye(mean.shape[-2], dtype=mean.dtype, device=mean.device)
    matrix = data * covariance + prior * eye
    factor, failed = torch.linalg.cholesky_ex(matrix.detach())
    if failed.any():
        raise Singular(
            f"{spec}: the local covariance is singular in {mean.dtype}: the ridge is too small "
            "beside the weights. Raise the ridge or lower the kernel's scale."
        )
    solved: Tensor = Substitution.apply(matrix, data * mean, factor)
    return solved


class Substitution(torch.autograd.Function):
    """A x = b by the Cholesky factor of A, which the backward pass uses again.

    Its gradient is a solve of its own; through the factorization it would cost F^3 five times
    over, half of a training step.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, right: Tensor, factor: Tensor) -> Tensor:
        """Returns x, [..., F, 1]; ``factor`` is a constant."""
        x = _substitute(factor, right)
        ctx.save_for_backward(factor, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Returns the gradients of A and b."""
        factor, x = ctx.saved_tensors
        right = _substitute(factor, grad)
        return -right @ x.mT, right, None


def _substitute(factor: Tensor, right: Tensor) -> Tensor:
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)
