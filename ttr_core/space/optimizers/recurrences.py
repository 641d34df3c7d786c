"""Recurrences of numbers beside a memory, over all tokens at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...fading import left

CHUNK = 64


def faded_sums(writes: Tensor, log_decay: Tensor, start: Tensor) -> Tensor:
    r"""Returns $s_t = a_t s_{t-1} + w_t$ after every token, [B, H, T, F].

    Args:
        writes: w, [B, H, T, F].
        log_decay: log a, at most 0, [B, H, T, 1].
        start: s before the first token, [B, H, F].
    """
    length = writes.shape[2]
    size = max(1, min(CHUNK, length))
    writes, log_decay = (
        F.pad(z, (0, 0, 0, -length % size)).unflatten(2, (-1, size)) for z in (writes, log_decay)
    )
    between, since, _ = left(log_decay)
    within, state, sums = between @ writes, start, []
    for own, kept in zip(within.unbind(2), since.unbind(2), strict=True):
        sums.append(own + kept * state[..., None, :])
        state = sums[-1][:, :, -1]
    return torch.cat(sums, 2)[:, :, :length]


def variances(keep: Tensor, drift: Tensor, evidence: Tensor, start: Tensor) -> Tensor:
    r"""Returns $p_t = z_t / (1 + u_t z_t)$ with $z_t = a_t p_{t-1} + \omega_t$, [B, H, T, F].

    Each token's map of p is a fraction of two lines in it; their matrices are multiplied over 1,
    2, 4, ... tokens. All entries are positive, so that nothing cancels.

    Args:
        keep: a, within [0, 1], [B, H, T, F].
        drift: omega, at least 0, likewise.
        evidence: u, at least 0, likewise.
        start: p before the first token, [B, H, F].
    """
    top = torch.stack([keep, drift], -1)
    bottom = evidence[..., None] * top
    bottom = bottom + torch.stack([torch.zeros_like(keep), torch.ones_like(keep)], -1)
    maps, reach, length = torch.stack([top, bottom], -2), 1, keep.shape[2]  # (B H T F 2 2)
    while reach < length:
        later = maps[:, :, reach:] @ maps[:, :, :-reach]
        later = later / later.detach().sum((-2, -1), keepdim=True)  # a fraction has no size
        maps, reach = torch.cat([maps[:, :, :reach], later], 2), 2 * reach
    ends = torch.stack([start, torch.ones_like(start)], -1)[:, :, None, :, :, None]
    above, below = (maps @ ends)[..., 0].unbind(-1)
    return above / below
