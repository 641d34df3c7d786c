"""Decays x a weight per span of the past x linear model x weighted sums: log-linear attention."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..fading import left
from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import Sum
from ..space.readouts import Direct, Divides, Readout
from ..space.weights import SpannedWeights
from .base import Solver
from .chunks import CHUNK, chunk_size, split
from .problem import Problem
from .state import Matrix, State

_Asked = Problem[SpannedWeights, LinearModel, Sum]


class Tokens(NamedTuple):
    """What is summed and read, [B, H, T, .] each: q, k, v, span weights and log decays."""

    q: Tensor
    k: Tensor
    v: Tensor
    spans: Tensor
    log_decay: Tensor


class ChunkedSpans(Solver[_Asked]):
    r"""Within a chunk all pairs, beyond it one memory for each span that doubles.

    $$y_t = \sum_\ell \lambda_t^{(\ell)} S_t^{(\ell)\top} \phi(q_t)$$

    The tokens of an odd block of 2^l read the memory of the even block before it, all blocks of
    one size at once; then two memories become one. So a sequence takes T log T, and to go on a
    memory for each level, as a counter in base 2 has digits.

    Source: Log-Linear Attention (Guo et al., 2025) https://arxiv.org/abs/2506.04761
    """

    name: ClassVar[str] = "chunked_spans"
    cost: ClassVar[str] = "T (C F + F V log T), matrix products"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides)

    def declines(self, p: _Asked) -> str | None:
        if p.weights.per_feature:
            return f"needs one decay for all features; {p.weights} has one for each"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows, state = shape.batch * shape.heads * shape.length, shape.features * shape.value_dim
        levels = max(1, math.ceil(math.log2(max(2, shape.length / CHUNK))))
        per_token = 2 * CHUNK * (shape.features + shape.value_dim) + (2 + levels) * state
        return Estimate(rows * per_token, 4.0 * rows * (state / 16 + 6 * CHUNK))

    def state(self, p: _Asked) -> State:
        slots = p.weights.count - 1
        return Matrix(p.function, slots, vectors=slots * int(p.readout.divides), numbers=1)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        (q, k), v, own = p.features(), p.summed_values(), p.own("weights")
        log_decay, brought = p.weights.recency(p.x, own)
        log_decay = torch.zeros_like(k[..., :1]) if log_decay is None else log_decay
        v, spans = v if brought is None else v * brought, p.weights.levels_at(p.x, own)
        x, slots, position = Tokens(q, k, v, spans, log_decay), p.weights.count - 1, 0
        memory = q.new_zeros(*q.shape[:2], slots, q.shape[-1], v.shape[-1])
        if kept is not None:
            memory, position = kept["S"], int(kept["position"].flatten()[0])
        held, outputs = list(memory.unbind(2)), []
        sizes = aligned(position, q.shape[2])
        for part in zip(*(z.split(sizes, 2) for z in x), strict=True):
            tokens = Tokens(*part)
            y, added, since = _block(tokens)
            shares, whole = tokens.spans.unbind(-1), since[..., -1:, :]
            for slot in _digits(position, slots):
                y = y + shares[slot + 1][..., None] * since * (tokens.q @ held[slot])
            held = [m * whole for m in held]
            _count_up(held, added, position, y.shape[2])
            position += y.shape[2]
            outputs.append(y)
        # On the CPU, so that to go on from there asks no accelerator for a number.
        where = torch.full(q.shape[:2], position, device="cpu")
        return p.read(torch.cat(outputs, 2)), {"S": torch.stack(held, 2), "position": where}


def aligned(position: int, length: int) -> list[int]:
    """Returns the powers of two that tokens are cut into, each at a multiple of its size.

    Example:
        >>> aligned(6, 11)
        [2, 8, 1]
    """
    found = []
    while length:
        size = 1 << (length.bit_length() - 1)
        size = min(size, position & -position) if position else size
        found.append(size)
        position, length = position + size, length - size
    return found


def _digits(position: int, slots: int) -> list[int]:
    """Returns the slots that hold spans before a position: its binary digits, the last for all."""
    digits = {min(bit, slots - 1) for bit in range(position.bit_length()) if position >> bit & 1}
    return sorted(digits)


def _count_up(held: list[Tensor], added: Tensor, position: int, size: int) -> None:
    """Puts the memory of the newest tokens into its slot, joined with those that are full."""
    slot, last = size.bit_length() - 1, len(held) - 1
    while slot < last and position >> slot & 1:
        added, held[slot] = held[slot] + added, torch.zeros_like(added)
        slot += 1
    slot = min(slot, last)
    held[slot] = held[slot] + added


def _block(x: Tokens) -> tuple[Tensor, Tensor, Tensor]:
    """Sums and reads a power of two of tokens by themselves.

    Returns:
        Outputs, the memory after the last, and what is left of what was there before, [.., T, 1].
    """
    chunk = 1 << (chunk_size(x.q.shape[2]).bit_length() - 1)
    last, shares = x.spans.shape[-1] - 1, x.spans.unbind(-1)
    q, k, v, spans, log_decay = (split(z, chunk) for z in x)  # (B H N C .)
    between, since, until = left(log_decay)
    place = torch.arange(chunk, device=q.device)
    level = torch.frexp((place[:, None] ^ place).double()).exponent.clamp_max(last).long()
    near = spans.gather(-1, level.expand(*spans.shape[:3], chunk, chunk))
    y = (q @ k.mT * between * near) @ v
    memory = (k * until).mT @ v
    while memory.shape[2] > 1:
        size = since.shape[-2]
        share = split(shares[min(size.bit_length(), last)][..., None], size)
        (early, late), (_, asking) = _paired(memory), _paired(split(x.q, size))
        (before, after), (first, second) = _paired(since), _paired(y)
        y = torch.cat([first, second + _paired(share)[1] * after * (asking @ early)], -2)
        memory = early * after[..., -1:, :] + late
        since = torch.cat([before, after * before[..., -1:, :]], -2)
    return y[:, :, 0], memory[:, :, 0], since[:, :, 0]


def _paired(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the even and the odd blocks, [B, H, N, ., .] -> [B, H, N / 2, ., .] each."""
    even, odd = x.unflatten(2, (-1, 2)).unbind(3)
    return even, odd
