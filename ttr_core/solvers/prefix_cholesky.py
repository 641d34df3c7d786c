"""Exact ridge regression of every causal prefix by two small Cholesky factors per chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import FixedRidge
from ..space.weights import MemorylessWeights
from ..systems import factored
from .base import Solver
from .chunks import CHUNK, chunk_size, join, split
from .problem import Problem, rooted
from .ridges import SAFE_RIDGE, precise
from .state import Matrix, State

_Asked = Problem[MemorylessWeights, LinearModel, FixedRidge]


class PrefixCholesky(Solver[_Asked]):
    r"""The mesa-layer in chunks, exact and without iterations.

    With $P = (G + \lambda I)^{-1}$ and $S = P R$ from the moments G and R before a chunk (rows of
    K and V scaled by the roots of their importance), the leading blocks of one factor
    $L L^\top = I + K P K^\top$ belong to the leading prefixes, so that with $W = L^{-1} K P$
    and $U = L^{-1} (V - K S)$

    $$y = Q S + \mathrm{tril}(Q W^\top)\, U, \qquad S \leftarrow S + W^\top U, \qquad
    P \leftarrow P - W^\top W$$

    Source: the block form of recursive least squares; the layer is Uncovering mesa-optimization
    algorithms in Transformers (von Oswald et al., 2023) https://arxiv.org/abs/2309.05858
    """

    name: ClassVar[str] = "prefix_cholesky"
    cost: ClassVar[str] = "T (C^2 + F^2 + (C + F) V), one Cholesky factor per chunk"

    def declines(self, p: _Asked) -> str | None:
        if p.optimizer.ridge == 0:
            return "needs a ridge above 0"
        if p.function.intercepts:
            return f"needs every coefficient under the ridge; {p.function} has an intercept"
        if p.weights.fades:
            return "needs weights without decay: under a fixed ridge the prefixes are not nested"
        return None

    def finer(self, p: _Asked) -> bool:
        return p.optimizer.ridge < SAFE_RIDGE

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        f, v = shape.features, shape.value_dim
        products = 2 * f * f + 3 * f * v + CHUNK * (3 * f + 2 * v + CHUNK)
        return Estimate(2 * rows * products, 4.0 * rows * (2 * f * (f + v) / CHUNK + 8 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, gram=True)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, ridge = p.x, p.optimizer.ridge
        q, k, v = precise(ridge, *p.features(), x.v)
        importance = p.recency().importance
        if importance is not None:
            root = rooted(importance)
            k, v = k * root, v * root
        size = chunk_size(x.length, self.name, k.device.type)
        if kept is None:  # nothing is fitted yet: P is a multiple of the identity, S is zero
            eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
            inverse = (eye / ridge).expand(*k.shape[:2], -1, -1)
            fitted = v.new_zeros(*v.shape[:2], k.shape[-1], v.shape[-1])
        else:
            inverse, fitted = kept["P"], kept["S"]
        run: Callable[..., tuple[Tensor, ...]] = Prefixes.apply
        y, inverse, fitted, *_ = run(*(split(z, size) for z in (q, k, v)), inverse, fitted)
        return p.read(join(y, x.length).to(x.v.dtype)), {"P": inverse, "S": fitted}


class Prefixes(torch.autograd.Function):
    r"""Chunk after chunk, with a gradient by hand.

    With $L^{-1}$ at hand all of it are products: that of the factor is
    $-L^{-\top} \Phi(W'^\top{}^\top W^\top + U' U^\top) L^{-1}$ from those of W and U, where
    $\Phi$ takes the lower triangle and half of the diagonal. An automatic one solves four systems
    for it.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, inverse: Tensor, fitted: Tensor
    ) -> tuple[Tensor, ...]:
        """Returns the outputs, the last P and S, and what the gradient needs.

        Args:
            q: [B, H, N, C, F].
            k: [B, H, N, C, F].
            v: [B, H, N, C, V].
            inverse: P before the first chunk, [B, H, F, F].
            fitted: S before it, [B, H, F, V].
        """
        kept: list[tuple[Tensor, ...]] = []
        for qn, kn, vn in zip(q.unbind(2), k.unbind(2), v.unbind(2), strict=True):
            gains = kn @ inverse
            half = _half(gains @ kn.mT)
            w, u = half @ gains, half @ (vn - kn @ fitted)
            y = qn @ fitted + (qn @ w.mT).tril() @ u
            kept.append((y, inverse, fitted, half, gains, w, u))
            inverse, fitted = inverse - w.mT @ w, fitted + w.mT @ u
        y, *saved = (torch.stack(each, 2) for each in zip(*kept, strict=True))
        return y, inverse, fitted, *saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps what the gradient needs."""
        ctx.mark_non_differentiable(*output[3:])
        ctx.save_for_backward(*inputs[:2], *output[3:])

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, of_inverse: Tensor, of_fitted: Tensor, *_: Tensor
    ) -> tuple[Tensor, ...]:
        """Returns the gradients of all arguments."""
        parts = zip(grad.unbind(2), *(z.unbind(2) for z in ctx.saved_tensors), strict=True)
        found: list[tuple[Tensor, ...]] = []
        for dy, q, k, inverse, fitted, half, gains, w, u in reversed([*parts]):
            of_seen, seen = (dy @ u.mT).tril(), (q @ w.mT).tril()
            dw = of_seen.mT @ q + u @ of_fitted.mT - w @ (of_inverse + of_inverse.mT)
            du = seen.mT @ dy + w @ of_fitted
            of_half = (dw @ w.mT + du @ u.mT).tril()
            of_half.diagonal(dim1=-2, dim2=-1).mul_(0.5)
            of_gram = half.mT @ of_half @ half
            of_gram = -0.5 * (of_gram + of_gram.mT)
            dv, of_gains = half.mT @ du, half.mT @ dw + of_gram @ k
            dk = of_gram @ gains - dv @ fitted.mT + of_gains @ inverse.mT
            found.append((dy @ fitted.mT + of_seen @ w, dk, dv))
            of_fitted = of_fitted + q.mT @ dy - k.mT @ dv
            of_inverse = of_inverse + k.mT @ of_gains
        dq, dk, dv = (torch.stack(each[::-1], 2) for each in zip(*found, strict=True))
        return dq, dk, dv, of_inverse, of_fitted


def _half(gram: Tensor) -> Tensor:
    r"""Returns $L^{-1}$ for $L L^\top = G + I$, [..., C, C].

    The factor's inverse, because products with it are several times faster than solves; its
    smallest singular value is at least 1.
    """
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor, _ = factored(gram + eye)  # no eigenvalue is below 1
    half: Tensor = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    return half
