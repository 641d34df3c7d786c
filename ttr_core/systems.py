"""Positive definite systems, many at a time, with a gradient that is a solve of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import readable

SMALL = 32  # size below which a factor is left to LAPACK


def solve_positive(matrix: Tensor, right: Tensor) -> tuple[Tensor, bool]:
    """Solves A x = b by a Cholesky factor, [..., N, N] and [..., N, 1] -> [..., N, 1].

    Returns:
        x, and whether every A could be factored, as `factor_in_place` says: x is NaN otherwise.
    """
    factor = matrix.detach().clone()
    found = factor_in_place(factor)
    run: Callable[..., Tensor] = Substitution.apply
    return run(matrix, right, factor), found


def factored(matrix: Tensor) -> tuple[Tensor, bool]:
    """Returns lower Cholesky factors, NaN where there is none, and whether all were found.

    A matrix that is not finite has no factor, which is no fault of the system; and where nothing
    may be read, all count as found.

    Args:
        matrix: symmetric, [..., N, N].
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if readable(failed) and not failed.any():
        return factor, True
    bad = failed != 0
    factor = factor.masked_fill(bad[..., None, None], math.nan)
    if not readable(failed):
        return factor, True
    return factor, not bool((bad & matrix.isfinite().flatten(-2).all(-1)).any())


def factor_in_place(matrix: Tensor) -> bool:
    """Puts Cholesky factors into the lower triangles; returns whether all were found.

    NaN where there is none, and all count as found where nothing may be read, as `factored` says.
    What lies above the diagonals is neither read nor written: LAPACK, of which a batch at size 64
    takes 1.5 times as long, spends half of that on it.

    Args:
        matrix: symmetric, [..., N, N].
    """
    failed = _factor_by_halves(matrix)
    if readable(failed) and not failed.any():
        return True
    stopped = matrix.diagonal(dim1=-2, dim2=-1).isfinite().all(-1)  # at a pivot below 0
    found = not readable(failed) or not bool((failed & stopped).any())
    matrix.masked_fill_(failed[..., None, None], math.nan)
    return found


def _factor_by_halves(matrix: Tensor) -> Tensor:
    """Puts factors into the lower triangles; returns where there are none."""
    size = matrix.shape[-1] // 2
    if size < SMALL:
        factor, failed = torch.linalg.cholesky_ex(matrix)  # reads the lower triangle alone
        matrix.copy_(factor)
        missing: Tensor = failed != 0
        return missing
    first, below, last = (
        matrix[..., :size, :size],
        matrix[..., size:, :size],
        matrix[..., size:, size:],
    )
    failed = _factor_by_halves(first)
    below.copy_(torch.linalg.solve_triangular(first.mT, below, upper=True, left=False))
    last -= below @ below.mT
    return failed | _factor_by_halves(last)


class Substitution(torch.autograd.Function):
    """A x = b by the Cholesky factor of A, which the backward pass uses again.

    Its gradient is a solve of its own; through the factorization it would cost F^3 five times
    over, half of a training step.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, right: Tensor, factor: Tensor) -> Tensor:
        """Returns x, [..., F, 1]; ``factor`` is a constant."""
        return substitute(factor, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keeps what the gradient needs."""
        ctx.save_for_backward(inputs[2], output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Returns the gradients of A and b."""
        factor, x = ctx.saved_tensors
        right = substitute(factor, grad)
        return -right @ x.mT, right, None


def substitute(factor: Tensor, right: Tensor) -> Tensor:
    """Solves A x = b by lower Cholesky factors of A, [..., N, N] and [..., N, M] -> [..., N, M]."""
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    solved: Tensor = torch.linalg.solve_triangular(factor.mT, half, upper=True)
    return solved
