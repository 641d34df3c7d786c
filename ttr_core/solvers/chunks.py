"""What the chunked solvers share: splitting, faded scores, the carry from chunk to chunk."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 64


SHORTER: dict[tuple[str, str], int] = {
    ("chunked_delta", "cpu"): 32,
    ("chunked_momentum", "cpu"): 32,
    ("prefix_cholesky", "cpu"): 32,
}
"""Tokens of a chunk, by solver and device, where fewer were measured to be faster at every length:
docs/benchmarks.md has the figures."""

STEPPED = ("cpu",)
"""Devices on which memories are summed one by one, faster than by a running sum, which strides."""


def chunk_size(length: int, solver: str = "", device: str = "cpu") -> int:
    """Returns C: 64 tokens, or those of `SHORTER`, and fewer for shorter sequences.

    Args:
        length: T.
        solver: whose chunks they are.
        device: the type of the device.
    """
    return max(1, min(CHUNK, SHORTER.get((solver, device), CHUNK), length))


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


def scores(a: Tensor, b: Tensor) -> Tensor:
    """Returns a[t] . b[i] for i <= t, [..., C, n C]; each row stands at the last of n columns."""
    every = b.shape[-2] // a.shape[-2]
    if every == 1:
        return (a @ b.mT).tril()
    return (a @ b.mT).masked_fill(~lower(b.shape[-2], 0, a, every), 0.0)


def one_up(x: Tensor) -> Tensor:
    """Moves every row to the place of the one before it, [..., C, D]; the last is zero."""
    return F.pad(x[..., 1:, :], (0, 0, 0, 1))


def one_down(x: Tensor, first: float = 0.0) -> Tensor:
    """Moves every row to the place of the one after it, [..., C, D]; the first is a number."""
    return F.pad(x[..., :-1, :], (0, 0, 1, 0), value=first)


def carry(
    writes: Tensor, keep: Tensor | None, start: Tensor | None, latest_first: bool = False
) -> tuple[Tensor, Tensor]:
    """Runs S <- keep * S + write over the chunks.

    Args:
        writes: [B, H, N, F, V].
        keep: [B, H, N, 1 or F, 1], or None to keep everything.
        start: [B, H, F, V], or None for zero.
        latest_first: whether it begins at the last chunk, as gradients do.

    Returns:
        The states before each chunk, [B, H, N, F, V], and the state after the last that is met.
    """
    state = torch.zeros_like(writes[:, :, 0]) if start is None else start
    if keep is None and writes.device.type not in STEPPED:
        met = writes.flip(2) if latest_first else writes
        total = met.cumsum(2) + state[:, :, None]
        before = total - met
        return before.flip(2) if latest_first else before, total[:, :, -1].clone()
    each, left = writes.unbind(2), None if keep is None else keep.unbind(2)
    states = [state] * len(each)
    for n in range(len(each) - 1, -1, -1) if latest_first else range(len(each)):
        states[n] = state
        state = each[n] + state if left is None else torch.addcmul(each[n], left[n], state)
    return torch.stack(states, 2), state


def plus_product(base: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """Returns base + a b of all chunks, [B, H, N, ., .] each, or the product alone."""
    if base is None:
        return a @ b
    return torch.baddbmm(*(z.flatten(0, 2) for z in (base, a, b))).view_as(base)
