"""Kernel ridge regression under any weights: a system of the size of the past for every token."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import Singular
from ..limits import Estimate, Shape
from ..precision import readable
from ..space.functions import FeatureModel
from ..space.optimizers import Exact, Optimizer
from ..space.spec import Spec, axis
from ..space.weights import PositiveWeights
from ..stream import Stream
from ..systems import solve_positive
from .base import (
    SAFE_RIDGE,
    Params,
    Solver,
    State,
    inner_products,
    kept_formula,
    kept_size,
    no_dual,
    past,
    with_past,
)

BLOCK = 16  # queries at a time, as long as their systems hold no more numbers than this:
HELD = 1 << 22


class DualNormalEquations(Solver):
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
    weights = PositiveWeights
    function = FeatureModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Exact,)

    def declines(self, spec: Spec) -> str | None:
        if reason := no_dual(spec):
            return reason
        if spec.weights.per_feature:
            return "needs one weight per pair"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        heads, t = shape.batch * shape.heads, float(shape.length)
        flops = t**4 / 12 + 4 * t**3 + 2 * t * t * (2 * shape.key_dim + shape.value_dim)
        held = max(t * t * heads, min(float(HELD), BLOCK * t * t * heads))
        return Estimate(heads * flops, 8.0 * (6 * held + 4 * heads * t * t))

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        whole = with_past(x, state)
        wide = whole
        log = _log_weights(spec, whole, params)
        if _needs_float64(spec, log):
            wide = whole.map(lambda z: z.double())
            log = _log_weights(spec, wide, params)
        gram = inner_products(spec, wide.k, wide.k, params)
        scores = inner_products(spec, wide.q, wide.k, params)
        heads, length = log.shape[0] * log.shape[1], whole.length
        size = max(1, min(BLOCK, HELD // (heads * length * length)))
        outputs, queries = [], log.shape[2]
        for start in range(0, queries, size):
            stop = min(start + size, queries)
            seen = slice(length - queries + stop)
            rows = (slice(None), slice(None), slice(start, stop), seen)
            block = (spec, gram[:, :, seen, seen], scores[rows], log[rows], wide.v[:, :, seen])
            if torch.is_grad_enabled():
                y = checkpoint(_block, *block, use_reentrant=False, preserve_rng_state=False)
            else:
                y = _block(*block)
            outputs.append(y)
        return torch.cat(outputs, 2).to(x.v.dtype), past(whole)


def _log_weights(spec: Spec, x: Stream, params: Params) -> Tensor:
    """Returns log gamma, [B, H, Tq, T]."""
    assert isinstance(spec.weights, PositiveWeights)
    return spec.weights.log_matrix(x, axis(params, "weights"))[..., 0].to(x.k.dtype)


def _needs_float64(spec: Spec, log: Tensor) -> bool:
    """Whether the ridge is too small beside the largest weight for the input's type."""
    assert isinstance(spec.optimizer, Exact)
    if not readable(log):
        return True  # to ask would be to wait for an accelerator
    return bool((log.detach().amax(-1).exp() * SAFE_RIDGE > spec.optimizer.ridge).any())


def _block(spec: Spec, gram: Tensor, scores: Tensor, log: Tensor, v: Tensor) -> Tensor:
    """Returns the outputs of some queries, [B, H, C, V].

    Raises:
        Singular: weights and ridge leave a matrix that cannot be factored.
    """
    assert isinstance(spec.optimizer, Exact)
    top = log.detach().amax(-1, keepdim=True)
    root = ((log - top) / 2).exp()  # (B H C T)
    log_ratio = (math.log(spec.optimizer.ridge) - top)[..., None]
    data, prior = (-log_ratio).sigmoid(), log_ratio.sigmoid()  # (B H C 1 1)
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    matrix = data * root[..., None] * gram[:, :, None] * root[..., None, :] + prior * eye
    solved, sound = solve_positive(matrix, data * (root * scores)[..., None])
    if not sound:
        raise Singular(
            f"{spec}: the weighted Gram matrix is singular in {gram.dtype}: the ridge is too "
            "small beside the weights. Raise the ridge or lower the kernel's scale."
        )
    return (root * solved.squeeze(-1)) @ v
