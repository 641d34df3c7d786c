"""Decayed sums token by token, for memories of one row or column: no matrix product is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

FEW = 8  # value channels of a memory of one feature: a loop over tokens suits no accelerator


def is_vector(k: Tensor, v: Tensor) -> bool:
    """Whether a memory has one value channel, or one feature and few channels."""
    return v.shape[-1] == 1 or (k.shape[-1] == 1 and v.shape[-1] <= FEW)


def decayed_reads(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    r"""Runs $S_t = a_t \circ S_{t-1} + k_t v_t$ and reads $y_t = S_t^\top q_t$, with F or V = 1.

    A chunk of C tokens costs C F per token for the decays between its tokens, the recurrence F V:
    where the state is a vector (`is_vector`) the recurrence is less work than any chunk.

    Args:
        q: [B, H, T, F].
        k: [B, H, T, F].
        v: [B, H, T, V].
        log_decay: [B, H, T, 1 or F].
        start: the state before the first token, [B, H, F, V], or None for zero.

    Returns:
        y, [B, H, T, V], and the state after the last token.
    """
    writes = _by_token(k * v)  # (T B H F) or (T B H V): the other is 1
    first = torch.zeros_like(writes[0]) if start is None else start.flatten(2)
    run: Callable[..., Tensor] = DecayedSums.apply
    states = run(_by_token(log_decay).exp(), writes, first)
    y = _by_token(q) * states
    if v.shape[-1] == 1:
        y = y.sum(-1, keepdim=True)
    last = states[-1].unflatten(-1, (k.shape[-1], v.shape[-1]))
    return y.permute(1, 2, 0, 3), last


def _by_token(x: Tensor) -> Tensor:
    """Puts time first, [T, B, H, F], so that each token's numbers lie together."""
    return x.permute(2, 0, 1, 3).contiguous()


class DecayedSums(torch.autograd.Function):
    """Every state of S <- a S + w, with a gradient that runs the recurrence backward.

    Automatic differentiation of the loop would keep a graph of T steps.
    """

    @staticmethod
    def forward(ctx: Any, decay: Tensor, writes: Tensor, start: Tensor) -> Tensor:
        """Returns the states after each token, [T, B, H, F].

        Args:
            ctx: keeps what the gradient needs.
            decay: a, [T, B, H, 1 or F].
            writes: w, [T, B, H, F].
            start: the state before the first token, [B, H, F].
        """
        states, state = torch.empty_like(writes), start
        for t in range(writes.shape[0]):
            state = torch.addcmul(writes[t], decay[t], state, out=states[t])
        ctx.save_for_backward(decay, states, start)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of decays, writes and start."""
        decay, states, start = ctx.saved_tensors
        total = grads[0].clone(memory_format=torch.contiguous_format)
        for t in range(total.shape[0] - 1, 0, -1):
            total[t - 1].addcmul_(decay[t], total[t])
        of_decay = torch.empty_like(total)
        torch.mul(total[0], start, out=of_decay[0])
        torch.mul(total[1:], states[:-1], out=of_decay[1:])
        if decay.shape[-1] == 1:
            of_decay = of_decay.sum(-1, keepdim=True)
        return of_decay, total, decay[0] * total[0]
