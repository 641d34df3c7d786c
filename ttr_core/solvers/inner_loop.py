"""Networks and matrices trained inside the layer, their gradients taken at chunk starts."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried, Params
from ..space.functions import Memory, Stage, StagedModel
from ..space.losses import Loss
from ..space.optimizers import Mirrored, SummedSteps
from ..space.optimizers.segments import Mix, Segment
from ..space.weights import MemorylessWeights
from ..stream import Stream
from .base import Solver
from .chunk_starts import (
    GROUP,
    Gradients,
    Held,
    Stretch,
    after,
    cut,
    gradients_at,
    in_groups,
    mixed,
    resumed,
    taken,
)
from .least import chunked
from .problem import Problem
from .state import Memories, State

_Asked = Problem[MemorylessWeights, StagedModel, SummedSteps]
SUMMED, MIRRORED, MOST = 4, 3, 6
"""Memories that the backward pass of a segment keeps, those of each token under a mirror, and how
many times the inputs and outputs it may keep before it rather computes them once more."""


class InnerLoop(Solver[_Asked]):
    r"""Chunk-start gradients in dual form: no token gets a copy of the memory.

    One pass forward and backward at the memory before the chunk gives every gradient as an outer
    product $h_i \delta_i^\top$; a query then meets each matrix as

    $$x W_t = b_t\, x W_0 + f_t\, x Z_0 - \sum_{i \le t} G_{ti} (x h_i^\top) \delta_i^\top$$

    A mirror is no sum: there each token's dual is formed, [C, F, V] per chunk.

    Source: Learning to (Learn at Test Time): RNNs with Expressive Hidden States (Sun et al.,
    2024) https://arxiv.org/abs/2407.04620
    """

    name: ClassVar[str] = "inner_loop"
    cost: ClassVar[str] = "T (P + C (F + V)) for P weights; T P C and C P memory under a mirror"
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)

    def declines(self, p: _Asked) -> str | None:
        if p.weights.per_feature:
            return f"needs one decay for the whole memory; {p.weights} has one per feature"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads = shape.batch * shape.heads
        memory = p.function.memory_size(shape.key_dim, shape.value_dim)
        mirror = isinstance(p.optimizer, Mirrored)
        tokens = min(p.optimizer.size, shape.length)
        each = 14.0 + (3 * tokens if mirror else 0)
        held = 3 * tokens if mirror else 6
        return Estimate(each * heads * shape.length * memory, 4.0 * held * heads * memory)

    def state(self, p: _Asked) -> State:
        return chunked(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, size = p.x, p.optimizer.size
        log_decay, importance = p.recency()
        if kept is None:
            memory = Memories(p.function).begun(x, p.own("function"))
            held = Held(_place(p, memory), memory, None, 0, {})
        else:
            held = resumed(kept)
        parts = [*cut(x, log_decay, importance, size, held.position)]
        group = max(1, GROUP // 2) if isinstance(p.optimizer, Mirrored) else GROUP
        y, held = in_groups(_segment, p, parts, held, group, self._is_heavy(p, len(parts)))
        return p.read(y), after(p, held)

    def _is_heavy(self, p: _Asked, segments: int) -> bool:
        """Whether a backward pass would keep several times what goes in and comes out.

        Then groups of segments are computed once more in the backward pass, and what lies between
        them is kept alone; a few segments are kept at once in any case.
        """
        if segments < 2 * GROUP:
            return False
        tokens, memory = p.optimizer.size, p.function.memory_size(p.x.key_dim, p.x.value_dim)
        kept = memory * (MIRRORED * tokens if isinstance(p.optimizer, Mirrored) else SUMMED)
        return kept > MOST * tokens * 2 * (p.x.key_dim + p.x.value_dim)


def _place(p: _Asked, base: Memory) -> Memory:
    return p.optimizer.mirrored(base) if isinstance(p.optimizer, Mirrored) else base


def _segment(p: _Asked, cut: Stretch, held: Held) -> tuple[Tensor, Held]:
    """Answers the queries of a segment, and folds its pairs into the memory."""
    x, log_decay, importance = cut
    optimizer, own = p.optimizer, p.own("function")
    pairs = taken(p, x, importance, held.earlier)
    gradients = gradients_at(p, pairs, own, held.at)
    scores = x.k.new_empty(()).expand(*x.k.shape[:2], x.length, x.length)
    inputs = gradients.inputs[0].shape[-1]
    learned = p.own("optimizer")
    before = pairs["k"].shape[2] - x.length
    segment = Segment(held.position, scores, log_decay, x.signals, learned, inputs, before)
    plan = optimizer.plan(segment)
    y = _read(p, x, own, held, gradients, plan.read)
    base = mixed(p, held, gradients, plan.base)
    move = None if plan.move is None else mixed(p, held, gradients, plan.move)
    position, again = held.position + x.length, optimizer.window - 1
    earlier = {n: z[:, :, -again:] for n, z in pairs.items()} if again else {}
    if position < optimizer.size:
        return y, Held(held.at, base, move, position, earlier)
    return y, Held(_place(p, base), base, move, 0, earlier)


def _read(p: _Asked, x: Stream, own: Params, held: Held, gradients: Gradients, mix: Mix) -> Tensor:
    """Answers each query with the memory of its token."""
    model = p.function
    z = model.entered(x.q, own)
    for i, (stage, h, error) in enumerate(zip(p.function.stages, *gradients, strict=True)):
        if i:
            z = model.between(z)
        if isinstance(p.optimizer, Mirrored):
            z = _met_mirrored(p.optimizer, z, stage, held, h, error, mix)
        else:
            z = _met(z, stage, held, h, error, mix)
    return model.answer(x.q, z, own)


def _met(z: Tensor, stage: Stage, held: Held, h: Tensor, error: Tensor, mix: Mix) -> Tensor:
    """Returns each row times the matrix of its token, plus its bias: sums, never a matrix."""
    assert mix.base is not None
    scores = z @ h.mT
    total = mix.base[..., None] * (z @ held.base[stage.weight])
    if held.move is not None and mix.move is not None:
        total = total + mix.move[..., None] * (z @ held.move[stage.weight])
    if stage.bias is not None:
        scores = scores + 1
        total = total + mix.base[..., None] * held.base[stage.bias][..., None, :]
        if held.move is not None and mix.move is not None:
            total = total + mix.move[..., None] * held.move[stage.bias][..., None, :]
    return total - (scores * mix.gradients) @ error


def _met_mirrored(
    optimizer: Mirrored,
    z: Tensor,
    stage: Stage,
    held: Held,
    h: Tensor,
    error: Tensor,
    mix: Mix,
) -> Tensor:
    """Returns the same under a mirror, which needs the matrix of every token."""
    assert mix.base is not None
    outer = (h[..., :, None] * error[..., None, :]).flatten(-2)  # (B H C FV)
    steps = (mix.gradients @ outer).unflatten(-1, (h.shape[-1], error.shape[-1]))
    dual = mix.base[..., None, None] * held.base[stage.weight][:, :, None] - steps
    y = (z[..., None, :] @ optimizer.mirror(dual))[..., 0, :]
    if stage.bias is None:
        return y
    return y + mix.base[..., None] * held.base[stage.bias][..., None, :] - mix.gradients @ error
