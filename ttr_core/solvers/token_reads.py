"""Sums of pairs in chunks, under one decay per token or none: matrix products, gradients by hand.

An automatic gradient runs the sum over the chunks as a running sum of whole memories, forward and
backward, which took a third of the time; adds what it should accumulate; and forms the memories of
a sequence of one chunk that starts from nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..fading import Left, from_each, left
from .chunks import carry, chunk_size, join, plus_product, split


def token_reads(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    r"""Runs $S_t = a_t S_{t-1} + k_t v_t^\top$ and reads $y_t = S_t^\top q_t$.

    Args:
        q: [B, H, T, F].
        k: [B, H, T, F].
        v: [B, H, T, V].
        log_decay: at most 0, -inf for a reset, [B, H, T, 1]; None for none.
        start: the state before the first token, [B, H, F, V], or None for zero.

    Returns:
        y, [B, H, T, V], and the state after the last token.
    """
    length = q.shape[2]
    size = chunk_size(length)
    q, k, v = (split(z, size).contiguous() for z in (q, k, v))
    fade = None if log_decay is None else split(log_decay, size)
    run: Callable[..., tuple[Tensor, ...]] = TokenReads.apply
    y, last, *_ = run(q, k, v, fade, start)
    return join(y, length), last


class TokenReads(torch.autograd.Function):
    """The chunks of all heads: q and k are [B, H, N, C, F], v is [B, H, N, C, V]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, start: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Returns the outputs, the last state, and what the gradient needs."""
        fade = None if log_decay is None else left(log_decay)
        faded = (q @ k.mT).tril_() if fade is None else (q @ k.mT).mul_(fade.between)
        written = k if fade is None else k * fade.until
        states, last = _carried(written.mT @ v, _keep(fade), start)
        asked = q if fade is None else q * fade.since
        y = faded @ v if states is None else plus_product(asked @ states, faded, v)
        return y, last, states, faded, *(fade or (None, None, None))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        """Keeps what the gradient needs."""
        ctx.mark_non_differentiable(*(z for z in output[2:] if z is not None))
        ctx.set_materialize_grads(False)
        ctx.starts = inputs[4] is not None
        ctx.save_for_backward(*inputs[:3], *output[1:])

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor | None, of_last: Tensor | None, *_: None
    ) -> tuple[Tensor | None, ...]:
        """Returns the gradients of q, k, v, the log decays and the start."""
        q, k, v, last, states, faded, *parts = ctx.saved_tensors
        fade = None if parts[0] is None else Left(*parts)
        grad = torch.zeros_like(v) if grad is None else grad.contiguous()
        met = grad @ v.mT
        of_scores = met.tril() if fade is None else met * fade.between
        asked, written = (q, k) if fade is None else (q * fade.since, k * fade.until)
        after, of_start = _after(asked, grad, _keep(fade), of_last, ctx.starts)
        from_past = None if states is None else grad @ states.mT
        to_future = None if after is None else v @ after.mT
        dv = plus_product(None if after is None else written @ after, faded.mT, grad)
        if fade is None:
            dq, dk = plus_product(from_past, of_scores, k), plus_product(to_future, of_scores.mT, q)
            return dq, dk, dv, None, of_start
        of_decay = _of_decay(met.mul_(faded), asked, from_past, written, to_future)
        if after is not None:
            ends = last[:, :, None]
            ends = ends if states is None else torch.cat([states[:, :, 1:], ends], 2)
            of_decay = of_decay + (after * ends).sum((-1, -2))[..., None, None]
        dq = plus_product(None if from_past is None else from_past.mul_(fade.since), of_scores, k)
        dk = plus_product(
            None if to_future is None else to_future.mul_(fade.until), of_scores.mT, q
        )
        return dq, dk, dv, of_decay, of_start


def _keep(fade: Left | None) -> Tensor | None:
    """Returns what a chunk leaves of the state before it, [B, H, N, 1, 1]."""
    return None if fade is None else fade.since[..., -1:, :]


def _carried(
    writes: Tensor, keep: Tensor | None, start: Tensor | None
) -> tuple[Tensor | None, Tensor]:
    """Returns the states before the chunks, or None where they are zero, and the last."""
    if writes.shape[2] == 1 and start is None:
        return None, writes[:, :, 0]
    return carry(writes, keep, start)


def _after(
    asked: Tensor, grad: Tensor, keep: Tensor | None, of_last: Tensor | None, starts: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Returns the gradients of the states after the chunks and of the start; None for nothing."""
    if grad.shape[2] == 1 and not starts:
        return None if of_last is None else of_last[:, :, None], None
    after, of_start = carry(asked.mT @ grad, keep, of_last, latest_first=True)
    return after, of_start if starts else None


def _of_decay(
    pairs: Tensor,
    asked: Tensor,
    from_past: Tensor | None,
    written: Tensor,
    to_future: Tensor | None,
) -> Tensor:
    """Returns the gradient of each log decay from what decays from or to a token of its chunk.

    What passes a token ends at it or later and began before it.
    """
    total = (pairs.sum(-1) - pairs.sum(-2))[..., None]
    if from_past is not None:
        total = total + torch.linalg.vecdot(asked, from_past)[..., None]
    if to_future is not None:
        total = total - torch.linalg.vecdot(written, to_future)[..., None]
    return from_each(total)
