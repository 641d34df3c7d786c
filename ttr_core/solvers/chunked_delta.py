"""Decays x linear model x rank-one steps, n to a token: one unit-triangular solve per chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..limits import Estimate, Shape
from ..named import Carried, part, whole
from ..space.functions import LinearModel
from ..space.optimizers import RankOneSteps, Steps
from ..space.weights import MemorylessWeights
from .base import Solver
from .chunks import CHUNK, chunk_size, join, one_down, one_up, plus_product, split
from .fades import fade_of, met
from .least import carried
from .problem import Problem
from .state import Matrix, State

_Asked = Problem[MemorylessWeights, LinearModel, RankOneSteps]


class ChunkedDelta(Solver[_Asked]):
    r"""The delta rule in chunks (WY form).

    With read keys $r$, write keys $w$ and the errors $E$ of a chunk,

    $$(I + A) E = V - \bar R S, \qquad A_{ti} = a_{t:i}\, r_t^\top w_i \ (i < t),$$
    $$y = \bar Q S + (a_{t:i} \circ Q W^\top)_{i \le t} E$$

    where $a_{t:i}$ is the product of the decays after token i up to t.

    Only the small update of the state runs from chunk to chunk. Several steps to a token are a
    sequence of T n steps, in which the memory fades at the first of each token and is read after
    the last (DeltaProduct). Where an answer is erased along another key $e$ than the value is
    written along, the same system has the answers $-U$ for errors (RWKV-7):

    $$(I + A^{(e)}) (-U) = -A^{(w)} V - \bar R S, \qquad
    y = \bar Q S + (a_{t:i} \circ Q W^\top) V - (a_{t:i} \circ Q E^\top) U$$

    Source: Parallelizing Linear Transformers with the Delta Rule over Sequence Length (Yang et
    al., 2024) https://arxiv.org/abs/2406.06484
    """

    name: ClassVar[str] = "chunked_delta"
    cost: ClassVar[str] = (
        "n T (C (F + V) + F V) for n steps to a token, one triangular solve per chunk"
    )

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length * p.optimizer.n
        per_step = 4 * CHUNK * (shape.features + shape.value_dim)
        state = shape.features * (shape.value_dim + shape.features)
        return Estimate(rows * (per_step + 4 * state), 4.0 * rows * (state / 16 + 8 * CHUNK))

    def state(self, p: _Asked) -> State:
        return carried(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        optimizer, phi = p.optimizer, p.phi()
        recency = p.recency()
        before = {} if kept is None else part(kept, "inner")
        steps, inner = optimizer.resume(p.x, phi, recency, p.own("optimizer"), before)
        log_decay = recency.log_decay
        if log_decay is not None and optimizer.n > 1:  # none before the further steps of a token
            log_decay = F.pad(log_decay[:, :, :, None], (0, 0, 0, optimizer.n - 1)).flatten(2, 3)
        start, undecayed = Matrix.restored(kept), optimizer.reads_undecayed
        y, last = delta(phi(p.x.q), steps, log_decay, undecayed, start)
        return p.read(y), Matrix.keep(last) | whole(inner=inner)


def delta(
    q: Tensor,
    steps: Steps,
    log_decay: Tensor | None,
    undecayed: bool,
    start: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Runs the delta rule over steps, n of them to a token, and reads after the last of each n.

    Args:
        q: queries of the tokens, [B, H, T, F].
        steps: the steps.
        log_decay: before each step, [B, H, n T, 1 or F]; None for none.
        undecayed: whether a step's own read comes before that.
        start: the state before, [B, H, F, V]; None for zero.

    Returns:
        y, [B, H, T, V], and the state after the last step.
    """
    length, every = q.shape[2], steps.write.shape[2] // q.shape[2]
    size = chunk_size(steps.write.shape[2], ChunkedDelta.name, q.device.type)
    size = max(every, size - size % every)
    read = torch.zeros_like(steps.write) if steps.read is None else steps.read
    erase = steps.write if steps.erase is None else steps.erase
    q, v = split(q, size // every), split(steps.value, size)
    r, e = split(read, size), split(erase, size)
    fade = None if log_decay is None else fade_of(split(log_decay, size))

    def asked(columns: Tensor) -> tuple[Tensor, Tensor]:
        if fade is None:
            return met(r, columns, None), met(q, columns, None)
        if undecayed:
            return one_down(fade.scores(one_up(r), columns)), fade.scores(q, columns)
        return fade.both(r, q, columns)

    system, seen_by = asked(e)
    own = writes = keep = None
    q_in, r_in, e_out = q, r, e
    if fade is not None:
        seen = one_down(fade.since, 1.0) if undecayed else fade.since
        q_in, r_in, e_out = q * fade.since[..., every - 1 :: every, :], r * seen, e * fade.until
        keep = fade.keep
    if steps.erase is not None:  # the values go another way than the errors, and are none of them
        w = split(steps.write, size)
        of_errors, of_outputs = asked(w)
        own, writes = of_outputs @ v, (w if fade is None else w * fade.until).mT @ v
        v = -of_errors.tril(-1) @ v
    if start is None:
        start = v.new_zeros(*v.shape[:2], r.shape[-1], v.shape[-1])
    run: Callable[..., tuple[Tensor, ...]] = DeltaChunks.apply
    y, last, *_ = run(system, seen_by, v, r_in, q_in, e_out, keep, writes, start)
    return join(y if own is None else y + own, length), last


class DeltaChunks(torch.autograd.Function):
    r"""The chunks of all heads, one after the other: $E = (I + A)^{-1} (V - R S)$, $y = Q S + Z E$.

    The system is inverted once for all chunks, forward and backward, because products are several
    times faster than solves; solving for a state yet unknown takes twice the columns (1.4 times the
    CPU time). The gradient is by hand: an automatic one adds up copies for every chunk.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        system: Tensor,
        seen: Tensor,
        v: Tensor,
        r: Tensor,
        q: Tensor,
        w: Tensor,
        keep: Tensor | None,
        writes: Tensor | None,
        start: Tensor,
    ) -> tuple[Tensor, ...]:
        """Returns the outputs, the last state, and what the gradient needs.

        Args:
            system: A, of which the strictly lower triangle counts, [B, H, N, C, C].
            seen: Z, [B, H, N, C / n, C].
            v: what is to be answered, [B, H, N, C, V].
            r: what the state before the chunk is asked, [B, H, N, C, F].
            q: the same for the outputs, [B, H, N, C / n, F].
            w: what the errors are written along, [B, H, N, C, F].
            keep: what is left of the state, [B, H, N, 1 or F, 1]; None for all.
            writes: what is written beside the errors, [B, H, N, F, V]; None for nothing.
            start: the state before the first chunk, [B, H, F, V].
        """
        eye = torch.eye(v.shape[-2], dtype=v.dtype, device=v.device).expand_as(system)
        inverse = torch.linalg.solve_triangular(system, eye, upper=False, unitriangular=True)
        states, errors, state = [], [], start
        for n in range(v.shape[2]):
            states.append(state)
            errors.append(inverse[:, :, n] @ (v[:, :, n] - r[:, :, n] @ state))
            more = w[:, :, n].mT @ errors[-1]
            more = more if writes is None else more + writes[:, :, n]
            state = state + more if keep is None else torch.addcmul(more, keep[:, :, n], state)
        before, error = torch.stack(states, 2), torch.stack(errors, 2)
        return plus_product(q @ before, seen, error), state, inverse, before, error

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps what the gradient needs."""
        _, seen, _, r, q, w, keep, writes, _ = inputs
        ctx.mark_non_differentiable(*output[2:])
        ctx.written = writes is not None
        ctx.save_for_backward(seen, r, q, w, keep, *output[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, of_last: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of all arguments."""
        seen, r, q, w, keep, inverse, before, error = ctx.saved_tensors
        of_error, of_reads, back = seen.mT @ grad, q.mT @ grad, inverse.mT
        afters, answers, of_state = [], [], of_last
        for n in range(r.shape[2] - 1, -1, -1):
            afters.append(of_state)
            answers.append(back[:, :, n] @ (of_error[:, :, n] + w[:, :, n] @ of_state))
            kept = of_state if keep is None else keep[:, :, n] * of_state
            of_state = kept + of_reads[:, :, n] - r[:, :, n].mT @ answers[-1]
        after, answer = torch.stack(afters[::-1], 2), torch.stack(answers[::-1], 2)
        less = -answer
        return (
            (less @ error.mT).tril_(-1),
            grad @ error.mT,
            answer,
            less @ before.mT,
            grad @ before.mT,
            error @ after.mT,
            None if keep is None else _met(after, before, keep),
            after if ctx.written else None,
            of_state,
        )


def _met(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Sums the products of the values, and of the features where they share a number."""
    rows: Tensor = torch.linalg.vecdot(a, b)[..., None]
    return rows.sum(-2, keepdim=True) if like.shape[-2] == 1 else rows
