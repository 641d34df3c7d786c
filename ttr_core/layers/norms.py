"""Unit vectors, whose gradient takes few passes over the tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..precision import HALF

LEAST_NORM = 1e-12  # below it a vector counts as of this norm, as in torch


def unit(x: Tensor) -> Tensor:
    r"""Returns vectors of norm 1, as `torch.nn.functional.normalize`.

    $$y = x / \max(|x|, 10^{-12})$$

    Torch differentiates it as a quotient by a norm that is spread over the vector, in ten passes
    over all tokens, which in a small layer cost as much as its memory does.

    Args:
        x: vectors along the last axis, [.., K].

    Example:
        >>> import torch
        >>> unit(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    if x.dtype in HALF:
        return F.normalize(x, dim=-1)
    run: Callable[..., Tensor] = Unit.apply
    return run(x)


class Unit(torch.autograd.Function):
    """`unit`, with its gradient by hand."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Returns the unit vectors."""
        y: Tensor = x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(LEAST_NORM)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keeps the vectors."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Returns the part of the gradient that turns a vector; all of it below the least norm."""
        (x,) = ctx.saved_tensors
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        least = norm.clamp_min(LEAST_NORM)
        along = (grad * x).sum(-1, keepdim=True) / least.square()
        along = along.masked_fill(norm < LEAST_NORM, 0.0)
        turned: Tensor = torch.addcmul(grad, x, along, value=-1) / least
        return turned
