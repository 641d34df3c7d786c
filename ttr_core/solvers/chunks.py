"""What the chunked solvers share: splitting, decayed scores, the carry from chunk to chunk."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 64
VECTOR_CHUNK = 8  # decays per feature hold [C, C, F] numbers per chunk; 8 is twice as fast as 16


def chunk_size(length: int, log_decay: Tensor | None) -> int:
    """Returns C: 64 tokens, 8 under a decay per feature, fewer for shorter sequences."""
    vector = log_decay is not None and log_decay.shape[-1] > 1
    return max(1, min(VECTOR_CHUNK if vector else CHUNK, length))


def split(x: Tensor, size: int) -> Tensor:
    """Cuts [B, H, T, D] into [B, H, N, C, D]; the last chunk is filled with zeros.

    Zero keys, values and log decays leave every state and output as it is.
    """
    missing = -x.shape[2] % size
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    pieces: Tensor = x.unflatten(2, (-1, size))
    return pieces


def join(y: Tensor, length: int) -> Tensor:
    """Puts chunks [B, H, N, C, V] together again and drops the filling."""
    return y.flatten(2, 3)[:, :, :length]


def lower(size: int, diagonal: int, like: Tensor, every: int = 1) -> Tensor:
    """Returns where row t sees column i, [C, C]: i <= t + diagonal; of the rows, each nth."""
    seen = torch.ones(size, size, dtype=torch.bool, device=like.device).tril(diagonal)
    return seen[every - 1 :: every]


def decayed_scores(
    a: Tensor, b: Tensor, log_a: Tensor | None, log_b: Tensor | None, diagonal: int
) -> Tensor:
    """Returns sum_f a[t, f] b[i, f] exp(log_a[t, f] - log_b[i, f]) for i <= t + diagonal.

    With n times as many columns, each row stands at the last of n of them.

    Args:
        a: rows, [..., C, F].
        b: columns, [..., C, F] or [..., n C, F].
        log_a: decay up to each row, [..., C, 1 or F]; None for no decay.
        log_b: decay up to each column, likewise.
        diagonal: 0 keeps the diagonal, -1 drops it.
    """
    every = b.shape[-2] // a.shape[-2]
    if every == 1 and (log_a is None or log_b is None):
        return (a @ b.mT).tril(diagonal)
    seen = lower(b.shape[-2], diagonal, a, every)
    if log_a is None or log_b is None:
        return (a @ b.mT).masked_fill(~seen, 0.0)
    if log_a.shape[-1] == 1:
        # Masked before exp: above the diagonal the difference is positive and would overflow.
        gamma = (log_a - log_b.mT).masked_fill(~seen, -math.inf).exp()
        return (a @ b.mT) * gamma
    gap = log_a[..., :, None, :] - log_b[..., None, :, :]  # (... C C F)
    gamma = gap.masked_fill(~seen[..., None], -math.inf).exp()
    return ((gamma * b[..., None, :, :]) @ a[..., :, :, None]).squeeze(-1)


def carry(writes: Tensor, keep: Tensor | None, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """Runs S <- keep * S + write over the chunks.

    Args:
        writes: [B, H, N, F, V].
        keep: [B, H, N, 1 or F, 1], or None to keep everything.
        start: [B, H, F, V], or None for zero.

    Returns:
        The states before each chunk, [B, H, N, F, V], and the state after the last.
    """
    if keep is None:
        total = writes.cumsum(2)
        before = total - writes
        if start is not None:
            before, total = before + start[:, :, None], total + start[:, :, None]
        return before, total[:, :, -1]
    state = torch.zeros_like(writes[:, :, 0]) if start is None else start
    states = []
    for write, kept in zip(writes.unbind(2), keep.unbind(2), strict=True):
        states.append(state)
        state = torch.addcmul(write, kept, state)
    return torch.stack(states, 2), state
