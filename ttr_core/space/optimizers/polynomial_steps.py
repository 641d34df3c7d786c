"""Steps that are a polynomial of a matrix, with a gradient that goes back through them by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def stepped(
    matrix: Tensor, right: Tensor, size: float, ridge: float, shares: tuple[float, ...]
) -> Tensor:
    r"""Returns x after steps on $(A + a I) x = b$ from zero, each by a share beyond the last two.

    $$x_0 = c\, b, \quad x_{n+1} = \omega_n (x_n - c\, ((A + a I) x_n - b))
    + (1 - \omega_n) x_{n-1}$$

    Automatic differentiation would write a gradient of A at every step; here it is written once.

    Args:
        matrix: A, symmetric, [..., F, F].
        right: b, [..., F, N].
        size: c.
        ridge: a.
        shares: omega of each step.
    """
    run: Callable[..., tuple[Tensor, Tensor]] = _Stepped.apply
    return run(matrix, right, size, ridge, shares)[0]


class _Stepped(torch.autograd.Function):
    """The steps, and what each started from, side by side, [..., F, n N]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        matrix: Tensor, right: Tensor, size: float, ridge: float, shares: tuple[float, ...]
    ) -> tuple[Tensor, Tensor]:
        x, last, passed = size * right, torch.zeros_like(right), [right[..., :0]]
        for share in shares:
            passed.append(x)
            moved = torch.add((1 - size * ridge) * x, matrix @ x - right, alpha=-size)
            x, last = share * moved + (1 - share) * last, x
        return x, torch.cat(passed, -1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keeps what the gradient needs."""
        matrix, _, ctx.size, ctx.ridge, ctx.shares = inputs
        ctx.save_for_backward(matrix, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Returns the gradients of A and b."""
        matrix, passed = ctx.saved_tensors
        size, slope, before = ctx.size, grads[0], torch.zeros_like(grads[0])
        to_right, moves = torch.zeros_like(slope), [slope[..., :0]]
        for share in reversed(ctx.shares):
            move = share * slope
            moves.append(move)
            to_right = to_right + size * move
            earlier = torch.add((1 - size * ctx.ridge) * move, matrix @ move, alpha=-size)
            slope, before = before + earlier, (1 - share) * slope
        to_matrix = -size * torch.cat([moves[0], *moves[:0:-1]], -1) @ passed.mT
        return to_matrix, to_right + size * slope, None, None, None
