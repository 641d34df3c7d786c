"""Decays x linear model x momentum: one unit-triangular solve per chunk."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..fading import left
from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import LinearModel
from ..space.optimizers import MomentumStep
from ..space.weights import MemorylessWeights
from .base import Solver
from .chunks import CHUNK, chunk_size, join, lower, one_down, split
from .problem import Problem
from .state import Matrix, State

_Asked = Problem[MemorylessWeights, LinearModel, MomentumStep]


class ChunkedMomentum(Solver[_Asked]):
    r"""Titans with a linear memory in chunks, each gradient at the memory of the token before.

    By token t the step of token i has moved the memory by $G_{ti}$ times its size, so that the
    errors E of a chunk solve one triangular system, as in the delta rule. With write keys $w$ and
    the memory S and momentum Z before the chunk,

    $$(I + A) E = V - \bar K S - \tilde K Z, \qquad A_{ti} = G_{t-1,i}\, k_t^\top w_i \ (i < t)$$
    $$y = \bar Q S + \tilde Q Z + (Q W^\top \circ G) E, \qquad G = D N$$

    where $D_{tj} = \prod_{j < l \le t} a_l$ and $N_{ti} = \prod_{i < l \le t} \eta_l$ are what is
    left of a memory and of a step. The product is the recurrence $G_t = a_t G_{t-1} + N_t$ of all
    tokens at once: a sum of positive terms, none of them a quotient, so that a momentum of 0 is
    as good as any.

    Source: the block form of the recurrence of Titans: Learning to Memorize at Test Time
    (Behrouz, Zhong and Mirrokni, 2024) https://arxiv.org/abs/2501.00663
    """

    name: ClassVar[str] = "chunked_momentum"
    cost: ClassVar[str] = "T (C (C + F + V) + 2 F V), one triangular solve per chunk"

    def declines(self, p: _Asked) -> str | None:
        return "needs one decay per token" if p.weights.per_feature else None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        per_token = 4 * CHUNK * (shape.features + shape.value_dim + CHUNK)
        state = 2 * shape.features * shape.value_dim
        return Estimate(rows * (per_token + 4 * state), 4.0 * rows * (state / 16 + 12 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, 2)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        q, k = p.features()
        log_decay, importance = p.recency()
        square, length = k.square().sum(-1, keepdim=True), p.x.length
        gain = p.optimizer.gain(square, importance, p.signals)
        size = chunk_size(length, self.name, k.device.type)
        q, w, k, v = (split(z, size) for z in (q, k * gain, k, p.x.v))
        decays = None if log_decay is None else split(log_decay, size)
        push = p.optimizer.push(p.signals)
        pushed = None if push is None else split(push, size)
        after = _reach(split(p.optimizer.share(p.signals), size), decays, pushed)
        before = _earlier(after, None if p.optimizer.reads_undecayed else decays)
        a = (k @ w.mT) * before.steps
        reads = torch.cat([k * before.memory, k * before.momentum], -1)
        writes, keep = _ends(w, after, (length - 1) % size)
        start = v.new_zeros(*v.shape[:2], 2 * k.shape[-1], v.shape[-1])
        if kept is not None:
            start = torch.cat([kept["S"], kept["Z"]], 2)
        states, errors, last = _errors(a, v, reads, writes, keep, start)
        y = torch.cat([q * after.memory, q * after.momentum], -1) @ states
        y = y + ((q @ w.mT) * after.steps) @ errors
        memory, momentum = last.chunk(2, 2)
        return p.read(join(y, length)), {"S": memory, "Z": momentum}


class Reach(NamedTuple):
    """What has become, by each token of a chunk, of what was there before.

    Args:
        steps: G, how far the step of each token has moved the memory, [B, H, N, C, C].
        kept: N, what is left of that step in the momentum, likewise.
        memory: what is left of the memory before the chunk, [B, H, N, C, 1].
        momentum: how far the momentum before the chunk has moved the memory, likewise.
        speed: what is left of that momentum, likewise.
    """

    steps: Tensor
    kept: Tensor
    memory: Tensor
    momentum: Tensor
    speed: Tensor


def _reach(momentum: Tensor, log_decay: Tensor | None, push: Tensor | None) -> Reach:
    """Returns it after each token, from momentum, log decays and pushes [B, H, N, C, 1]."""
    size = momentum.shape[-2]
    later = lower(size, -1, momentum)
    # Products of the factors themselves, running down each column from its own token on.
    kept = torch.where(later, momentum, 1.0).cumprod(-2).tril()
    speed = momentum.cumprod(-2)
    steps, own = (kept, speed) if push is None else (push * kept, push * speed)
    if log_decay is None:
        return Reach(steps.cumsum(-2), kept, torch.ones_like(speed), own.cumsum(-2), speed)
    between, since, _ = left(log_decay)
    return Reach(between @ steps, kept, since, between @ own, speed)


def _earlier(after: Reach, log_decay: Tensor | None) -> Reach:
    """Returns it before each token, with the token's own decay if one is given."""
    share = 1.0 if log_decay is None else log_decay.exp()
    return after._replace(
        steps=one_down(after.steps) * share,
        memory=one_down(after.memory, 1.0) * share,
        momentum=one_down(after.momentum) * share,
    )


def _ends(w: Tensor, after: Reach, last: int) -> tuple[Tensor, Tensor]:
    """Returns what each chunk writes to memory and momentum, and what it keeps of both.

    The last chunk ends at its own last token: the zeros it is filled with would stop its momentum.

    Returns:
        write keys, [B, H, N, C, 2F], and [[b, f], [0, m]] of the two states, [B, H, N, 2, 2].
    """
    chunks, size = w.shape[2:4]
    each = torch.arange(chunks, device=w.device)
    row = torch.full_like(each, size - 1)
    row[-1] = last

    def end(z: Tensor) -> Tensor:
        return z[:, :, each, row]

    writes = torch.cat([w * end(after.steps)[..., None], w * end(after.kept)[..., None]], -1)
    b, f, m = (end(z) for z in (after.memory, after.momentum, after.speed))
    keep = torch.cat([b, f, torch.zeros_like(m), m], -1).unflatten(-1, (2, 2))
    return writes, keep


def _errors(
    a: Tensor, v: Tensor, r: Tensor, w: Tensor, keep: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Solves the errors of each chunk from both states before it, [B, H, 2F, V], one above another.

    Returns:
        The states before each chunk, their errors, and the last states.
    """
    states, errors = [], []
    parts = (z.unbind(2) for z in (a, v, r, w, keep))
    for an, vn, rn, wn, kn in zip(*parts, strict=True):
        # The solve takes the unit diagonal for granted and never reads what stands there.
        error = torch.linalg.solve_triangular(an, vn - rn @ state, upper=False, unitriangular=True)
        states.append(state)
        errors.append(error)
        kept = (kn @ state.unflatten(2, (2, -1)).flatten(3)).view_as(state)
        state = kept + wn.mT @ error
    return torch.stack(states, 2), torch.stack(errors, 2), state
