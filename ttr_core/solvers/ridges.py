"""What a ridge asks of the arithmetic, and where a system of the size of the past is worth it."""

from __future__ import annotations

from torch import Tensor

from ..space.functions import FunctionClass, LinearModel

SAFE_RIDGE = 0.1
TYPICAL_KEY, WIDE = 64, 4
"""Features are wide that are more than 4 times as many as the entries of a key of size 64."""


def precise(ridge: float, *tensors: Tensor) -> list[Tensor]:
    """Returns the tensors in the precision that a ridge asks for.

    In float32 the factor of a nearly singular Gram matrix loses the digits that a small ridge
    leaves, and fails below 1e-5: measured 5e-4 at 0.1, 3e-1 at 1e-4 for keys of rank 4, T = 4096.
    """
    if ridge >= SAFE_RIDGE:
        return list(tensors)
    return [tensor.double() for tensor in tensors]


def no_dual(model: FunctionClass, ridge: float) -> str | None:
    """Says why an exact fit has no gain from a system of the size of the past, or None."""
    if ridge == 0:
        return "needs a ridge above 0"
    if isinstance(model, LinearModel):
        if model.closed_gram is None:
            return f"needs inner products in closed form; those of {model} take its features"
        if model.width(TYPICAL_KEY) <= WIDE * TYPICAL_KEY:
            return f"leaves {model}, whose features are few, to solvers with a system of their size"
    return None
