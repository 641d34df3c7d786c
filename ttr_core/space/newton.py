"""The exact minimizer of a quadratic, by automatic differentiation alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .functions import Memory

Objective = Callable[[Memory], Tensor]


class PairLoss(Protocol):
    """The loss of the newest pair, times its importance; or that of another pair in its place."""

    def __call__(
        self,
        memory: Memory,
        key: Tensor | None = None,
        value: Tensor | None = None,
        back: int = 0,
        /,
    ) -> Tensor:
        """Returns it at a memory; a key is [K], a value [V].

        With ``back`` it is the loss of the pair so many tokens before, 0 before the first.
        """


def newton(objective: Objective, start: Memory, penalty: Objective | None = None) -> Memory:
    """Returns the exact minimizer of a quadratic, one Newton step from ``start``.

    A number that the objective does not depend on stays as it is.

    With a ``penalty`` the Hessian may be singular; of all minimizers it is then the one of least
    penalty, the limit of a ridge that goes to zero.
    """
    sizes = [start[name].numel() for name in start]

    def unflat(x: Tensor) -> Memory:
        parts = x.split(sizes)
        return {n: p.view(start[n].shape) for n, p in zip(start, parts, strict=True)}

    flat = torch.cat([start[name].reshape(-1) for name in start])
    slope = torch.func.grad(lambda x: objective(unflat(x)))
    gradient, hessian = slope(flat), torch.func.jacrev(slope)(flat)
    if penalty is None:
        idle = (hessian.diagonal() == 0) & (gradient == 0)
        return unflat(flat - torch.linalg.solve(hessian + idle.to(hessian).diag(), gradient))
    inverse = torch.linalg.pinv(hessian, hermitian=True)
    flat = flat - inverse @ gradient
    free = torch.eye(len(flat), dtype=flat.dtype, device=flat.device) - inverse @ hessian
    norm_slope = torch.func.grad(lambda x: penalty(unflat(x)))
    curvature = free @ torch.func.jacrev(norm_slope)(flat) @ free
    # Where the data decide, `free` holds rounding of 1e-15 or so, which must count as zero.
    shrink = torch.linalg.pinv(curvature, atol=1e-8, hermitian=True)
    return unflat(flat - free @ shrink @ free @ norm_slope(flat))
