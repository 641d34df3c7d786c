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

    Each token's map of p is a fraction of two lines in it. Their products over each block tell
    where the next one starts; then all blocks run side by side. All numbers are positive, so that
    nothing cancels.

    Args:
        keep: a, within [0, 1], [B, H, T, F].
        drift: omega, at least 0, likewise.
        evidence: u, at least 0, likewise.
        start: p before the first token, [B, H, F].
    """
    length = keep.shape[2]
    size = max(1, min(CHUNK, length))
    blocks = (
        F.pad(z, (0, 0, 0, -length % size)).unflatten(2, (-1, size)).unbind(3)
        for z in (keep, drift, evidence)
    )
    tokens = list(zip(*blocks, strict=True))  # of all blocks at once, (B H N F) each
    p = start[:, :, None] if length <= size else _starts(tokens, start)
    found = []
    for a, w, u in tokens:
        z = a * p + w
        p = z / (1 + u * z)
        found.append(p)
    return torch.stack(found, 3).flatten(2, 3)[:, :, :length]


def _starts(tokens: list[tuple[Tensor, Tensor, Tensor]], start: Tensor) -> Tensor:
    """Returns p before each block, [B, H, N, F], from the product of each block's maps."""
    one, none = torch.ones_like(tokens[0][0]), torch.zeros_like(tokens[0][0])
    slope, level, below, unit = one, none, none, one  # (slope p + level) / (below p + unit)
    for a, w, u in tokens:
        slope, level = a * slope + w * below, a * level + w * unit
        below, unit = u * slope + below, u * level + unit
        size = 1 / (slope + level + below + unit).detach()  # a fraction has none
        slope, level, below, unit = slope * size, level * size, below * size, unit * size
    p, found = start, []
    for part in zip(*(z.unbind(2) for z in (slope, level, below, unit)), strict=True):
        found.append(p)
        p = (part[0] * p + part[1]) / (part[2] * p + part[3])
    return torch.stack(found, 2)
