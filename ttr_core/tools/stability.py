"""The bound on what an exact fit answers, beside what linear attention does, step by step."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..solvers import solve
from ..stream import Stream

DIM = 8
NOISE = 0.3
"""Of the values, beside a linear map of the keys: what is left is no exact interpolation."""


class Growth(NamedTuple):
    """Norms of the outputs at some steps.

    Args:
        step: how many pairs were seen.
        exact: of least squares.
        bound: |q| times the sum of |v| |k|, over the least eigenvalue of the keys' covariance.
        summed: of linear attention, which leaves the covariance out.

    Example:
        >>> growth(length=32)[0].step
        16
    """

    step: int
    exact: float
    bound: float
    summed: float


def growth(seed: int = 0, length: int = 256) -> tuple[Growth, ...]:
    """Returns the norms on a random stream in float64, from twice as many pairs as dimensions on.

    Args:
        seed: of the stream.
        length: its tokens.

    Example:
        >>> all(one.exact <= one.bound for one in growth(length=32))
        True
    """
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    k, q = (F.normalize(normal(1, 1, length, DIM), dim=-1) for _ in range(2))
    v = k @ normal(DIM, DIM) + NOISE * normal(1, 1, length, DIM)
    stream = Stream(q, k, v, {})
    exact, summed = (
        solve(text, stream)[0, 0].norm(dim=-1)
        for text in ("Uniform | Linear | Exact(ridge=0)", "Uniform | Linear | Hebbian")
    )
    covariance = torch.cumsum(k[0, 0, :, :, None] * k[0, 0, :, None, :], 0)
    least = torch.linalg.eigvalsh(covariance)[:, 0]
    products = (v.norm(dim=-1) * k.norm(dim=-1))[0, 0].cumsum(0)
    bound = q[0, 0].norm(dim=-1) * products / least
    steps = range(2 * DIM, length + 1)
    norms = (exact.tolist(), bound.tolist(), summed.tolist())
    return tuple(Growth(t, *(norm[t - 1] for norm in norms)) for t in steps)
