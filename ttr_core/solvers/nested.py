"""Fits of every prefix by one Cholesky factor, with a gradient that needs no factor's own.

The leading block of a factor is the factor of the leading block. Triangles are halved, so that what
lies above a diagonal is never computed, and most of the work is matrix products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WHOLE = 128  # rows of a triangle that is not halved any further


class NestedFits(torch.autograd.Function):
    r"""$y_t = m_t^\top A_t^{-1} V_t$ with the leading blocks $A_t$ of a matrix.

    With $A = L L^\top$, $U = L^{-1} V$ and $Z = \mathrm{tril}(M L^{-\top})$ the outputs are $Z U$,
    and the rows of $W = Z L^{-1}$ are the effective weights: $y = W V$. The gradient of a prefix is
    that of its own inverse: with $R = \mathrm{tril}(\dot y U^\top) L^{-1}$

    $$\dot M = R, \qquad \dot V = W^\top \dot y, \qquad \dot A = -(R^\top W + W^\top R) / 2$$
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        matrix: Tensor, right: Tensor, values: Tensor, factor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the outputs, [..., T, V], and Z and U.

        Args:
            matrix: A, symmetric, [..., T, T].
            right: M, of which row t counts up to column t, [..., T, T].
            values: V, [..., T, V].
            factor: L, a constant.
        """
        fitted = torch.linalg.solve_triangular(factor, values, upper=False)
        rows = _rows(factor, right)
        return rows @ fitted, rows, fitted

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps what the gradient needs."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(inputs[3], *output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of A, M and V."""
        factor, rows, fitted = ctx.saved_tensors
        weights = _over(factor, rows)
        pulled = _over(factor, (grad @ fitted.mT).tril())
        product = _met(pulled, weights)
        of_matrix = product.add_(product.mT.clone()).mul_(-0.5)
        return of_matrix, pulled, weights.mT @ grad, None


class Factor(torch.autograd.Function):
    """The Cholesky factor of a matrix, found already, for those who go on from it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, factor: Tensor) -> Tensor:
        """Returns L, [..., T, T], for A = L L^T; ``factor`` is a constant."""
        return factor.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keeps what the gradient needs."""
        ctx.save_for_backward(inputs[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Returns the gradient of A."""
        (factor,) = ctx.saved_tensors
        half = (factor.mT @ grad.tril()).tril()
        half.diagonal(dim1=-2, dim2=-1).mul_(0.5)
        left = torch.linalg.solve_triangular(factor.mT, half, upper=True)
        whole = torch.linalg.solve_triangular(factor, left, upper=False, left=False)
        return (whole + whole.mT) / 2, None


def _halved(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the upper, the left lower and the right lower block of a triangle."""
    size = x.shape[-1] // 2
    return x[..., :size, :size], x[..., size:, :size], x[..., size:, size:]


def _joined(first: Tensor, below: Tensor, last: Tensor) -> Tensor:
    """Returns [[first, 0], [below, last]]."""
    above = torch.cat([first, torch.zeros_like(below.mT)], -1)
    return torch.cat([above, torch.cat([below, last], -1)], -2)


def _rows(factor: Tensor, right: Tensor) -> Tensor:
    """Returns the lower triangle of M L^-T from that of M."""
    if factor.shape[-1] <= WHOLE:
        solved: Tensor = torch.linalg.solve_triangular(factor.mT, right, upper=True, left=False)
        return solved.tril()
    (l1, lb, l2), (m1, mb, m2) = _halved(factor), _halved(right)
    below = torch.linalg.solve_triangular(l1.mT, mb, upper=True, left=False)
    return _joined(_rows(l1, m1), below, _rows(l2, m2 - below @ lb.mT))


def _over(factor: Tensor, rows: Tensor) -> Tensor:
    """Returns Z L^-1 for a lower triangle Z, which is one, too."""
    if factor.shape[-1] <= WHOLE:
        solved: Tensor = torch.linalg.solve_triangular(factor, rows, upper=False, left=False)
        return solved
    (l1, lb, l2), (z1, zb, z2) = _halved(factor), _halved(rows)
    last = _over(l2, z2)
    below = torch.linalg.solve_triangular(l1, zb - last @ lb, upper=False, left=False)
    return _joined(_over(l1, z1), below, last)


def _met(a: Tensor, b: Tensor) -> Tensor:
    """Returns A^T B for lower triangles A and B, [..., T, T]."""
    if a.shape[-1] <= WHOLE:
        return a.mT @ b
    (a1, ab, a2), (b1, bb, b2) = _halved(a), _halved(b)
    above = torch.cat([_met(a1, b1) + ab.mT @ bb, ab.mT @ b2], -1)
    return torch.cat([above, torch.cat([a2.mT @ bb, _met(a2, b2)], -1)], -2)
