"""Kernel ridge regression under any weights: a system of the size of the past for every token."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import Singular
from ..limits import Estimate, Shape
from ..named import Carried
from ..precision import readable
from ..space.functions import FeatureModel
from ..space.optimizers import FixedRidge
from ..space.weights import PositiveWeights
from ..systems import solve_positive
from .base import Solver
from .problem import Problem
from .ridges import SAFE_RIDGE, no_dual
from .state import Past, State

BLOCK = 16  # queries at a time, as long as their systems hold no more numbers than this:
HELD = 1 << 22


_Asked = Problem[PositiveWeights, FeatureModel, FixedRidge]


class DualNormalEquations(Solver[_Asked]):
    r"""Positive weights x kernel x exact: a T x T system for every token.

    With g the weights of a token,

    $$y_t = (\sqrt g \circ \kappa(K, q_t))^\top
    \big(\sqrt G\, \kappa(K, K) \sqrt G + \lambda I\big)^{-1} (\sqrt g \circ V)$$

    Weights and ridge are divided by the largest weight of each row, and then both sides by
    their sum, so that neither overflows. Also for linear models with more features than pairs.
    Blocks are recomputed in the backward pass, so that memory does not grow with the cube of T.
    """

    name: ClassVar[str] = "dual_normal_equations"
    cost: ClassVar[str] = "T^4 / 12, one dense solve per token"

    def declines(self, p: _Asked) -> str | None:
        if reason := no_dual(p.function, p.optimizer.ridge):
            return reason
        if p.weights.per_feature:
            return "needs one weight per pair"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads, t = shape.batch * shape.heads, float(shape.length)
        flops = t**4 / 12 + 4 * t**3 + 2 * t * t * (2 * shape.key_dim + shape.value_dim)
        held = max(t * t * heads, min(float(HELD), BLOCK * t * t * heads))
        return Estimate(heads * flops, 8.0 * (6 * held + 4 * heads * t * t))

    def state(self, p: _Asked) -> State:
        return Past(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        past, ridge = Past(p.spec), p.optimizer.ridge
        x = past.restored(p.x, kept)
        wide, log = x, p.log_weights(x)
        if _needs_float64(ridge, log):
            wide = x.map(lambda z: z.double())
            log = p.log_weights(wide)
        gram = p.inner_products(wide.k, wide.k)
        scores = p.inner_products(wide.q, wide.k)
        heads, length = log.shape[0] * log.shape[1], x.length
        size = max(1, min(BLOCK, HELD // (heads * length * length)))
        outputs, queries = [], log.shape[2]
        for start in range(0, queries, size):
            stop = min(start + size, queries)
            seen = slice(length - queries + stop)
            rows = (slice(None), slice(None), slice(start, stop), seen)
            block = (p, gram[:, :, seen, seen], scores[rows], log[rows], wide.v[:, :, seen])
            if torch.is_grad_enabled():
                y = checkpoint(_block, *block, use_reentrant=False, preserve_rng_state=False)
            else:
                y = _block(*block)
            outputs.append(y)
        return p.read(torch.cat(outputs, 2).to(x.v.dtype)), past.keep(x)


def _needs_float64(ridge: float, log: Tensor) -> bool:
    """Whether the ridge is too small beside the largest weight for the input's type."""
    if not readable(log):
        return True  # to ask would be to wait for an accelerator
    return bool((log.detach().amax(-1).exp() * SAFE_RIDGE > ridge).any())


def _block(p: _Asked, gram: Tensor, scores: Tensor, log: Tensor, v: Tensor) -> Tensor:
    """Returns the outputs of some queries, [B, H, C, V].

    Raises:
        Singular: weights and ridge leave a matrix that cannot be factored.
    """
    top = log.detach().amax(-1, keepdim=True)
    root = ((log - top) / 2).exp()  # (B H C T)
    log_ratio = (math.log(p.optimizer.ridge) - top)[..., None]
    data, prior = (-log_ratio).sigmoid(), log_ratio.sigmoid()  # (B H C 1 1)
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    matrix = data * root[..., None] * gram[:, :, None] * root[..., None, :] + prior * eye
    solved, sound = solve_positive(matrix, data * (root * scores)[..., None])
    if not sound:
        raise Singular(
            f"{p}: the weighted Gram matrix is singular in {gram.dtype}: the ridge is too "
            "small beside the weights. Raise the ridge or lower the kernel's scale."
        )
    return (root * solved.squeeze(-1)) @ v
