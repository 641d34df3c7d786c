"""Networks and matrices that are moved by orthogonal steps, a matrix formed for every token."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import Memory, Stage, StagedModel
from ..space.losses import Loss
from ..space.optimizers import OrthogonalSteps
from ..space.optimizers.segments import Mix, Segment
from ..space.weights import MemorylessWeights
from .base import Solver
from .chunk_starts import (
    Gradients,
    Held,
    Stretch,
    after,
    cut,
    gradients_at,
    in_groups,
    resumed,
    taken,
)
from .least import chunked
from .problem import Problem
from .state import Memories, State

_Asked = Problem[MemorylessWeights, StagedModel, OrthogonalSteps]
Each = dict[str, Tensor]
"""The matrices, and biases, of every token of a segment, [B, H, C, F, V] and [B, H, C, V]."""

TOGETHER = 2  # segments that are computed once more together
PRODUCTS = 30  # flops of five Newton-Schulz steps over those of one product of the matrix


class OrthogonalLoop(Solver[_Asked]):
    r"""Chunk-start gradients in dual form, gathered and moved by for each token of a chunk.

    $$Z_t = f_t Z_0 + \sum_{i \le t} G_{ti}\, h_i \delta_i^\top, \qquad
    W_t = b_t W_0 - \sum_{s \le t} P_{ts}\, \mathrm{move}(Z_s)$$

    All moves of a chunk are made at once: each is a matrix of its own, but none waits for another.

    Source: Atlas: Learning to Optimally Memorize the Context at Test Time (Behrouz et al., 2025)
    https://arxiv.org/abs/2505.23735
    """

    name: ClassVar[str] = "orthogonal_loop"
    cost: ClassVar[str] = "T P (C + 30 V) and C P memory for P weights"
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)

    def declines(self, p: _Asked) -> str | None:
        if p.weights.per_feature:
            return f"needs one decay for the whole memory; {p.weights} has one per feature"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads, model = shape.batch * shape.heads, p.function
        memory = model.memory_size(shape.key_dim, shape.value_dim)
        tokens = min(p.optimizer.size, shape.length)
        each = 14.0 + 6 * tokens + PRODUCTS * min(shape.features, shape.value_dim)
        return Estimate(
            each * heads * shape.length * memory, 4.0 * 20 * tokens * heads * memory * TOGETHER
        )

    def state(self, p: _Asked) -> State:
        return chunked(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        log_decay, importance = p.recency()
        if kept is None:
            memory = Memories(p.function).begun(p.x, p.own("function"))
            held = Held(memory, memory, None, 0, {})
        else:
            held = resumed(kept)
        parts = [*cut(p.x, log_decay, importance, p.optimizer.size, held.position)]
        y, held = in_groups(_segment, p, parts, held, TOGETHER, len(parts) > TOGETHER)
        return p.read(y), after(p, held)


def _segment(p: _Asked, cut: Stretch, held: Held) -> tuple[Tensor, Held]:
    """Answers the queries of a segment, and folds its pairs into the memory."""
    (x, log_decay, importance), optimizer, own = cut, p.optimizer, p.own("function")
    pairs = taken(p, x, importance, held.earlier)
    gradients = gradients_at(p, pairs, own, held.at)
    scores = x.k.new_empty(()).expand(*x.k.shape[:2], x.length, x.length)
    inputs, before = gradients.inputs[0].shape[-1], pairs["k"].shape[2] - x.length
    segment = Segment(
        held.position, scores, log_decay, x.signals, p.own("optimizer"), inputs, before
    )
    gathered = _gathered(p, gradients, optimizer.gathered(segment), held.move)
    start, pushes = optimizer.pushed(segment)
    biases = {stage.bias for stage in p.function.stages}
    moves = {n: z if n in biases else optimizer.move(z) for n, z in gathered.items()}
    memories = {n: _pushed(held.base[n], z, start, pushes) for n, z in moves.items()}
    y = _read(p, x.q, memories)
    position, again = held.position + x.length, optimizer.window - 1
    earlier = {n: z[:, :, -again:] for n, z in pairs.items()} if again else {}
    # no views, which would keep the matrices of all tokens
    base, move = (
        {n: z[:, :, -1].clone() for n, z in each.items()} for each in (memories, gathered)
    )
    full = position >= optimizer.size
    return y, Held(base if full else held.at, base, move, 0 if full else position, earlier)


def _gathered(p: _Asked, gradients: Gradients, mix: Mix, last: Memory | None) -> Each:
    """Returns the sums of gradients after every token."""
    made: Each = {}
    for (weight, bias), h, error in zip(p.function.stages, *gradients, strict=True):
        outer = h[..., :, None] * error[..., None, :]  # (B H C F V)
        made[weight] = (mix.gradients @ outer.flatten(-2)).unflatten(-1, outer.shape[-2:])
        if bias is not None:
            made[bias] = mix.gradients @ error
    if last is None or mix.move is None:
        return made
    return {n: z + _each(mix.move, z) * last[n][:, :, None] for n, z in made.items()}


def _pushed(base: Tensor, moves: Tensor, start: Tensor, pushes: Tensor) -> Tensor:
    """Returns a matrix after every token."""
    pushed = (pushes @ moves.flatten(3)).view_as(moves)
    return _each(start, moves) * base[:, :, None] - pushed


def _each(numbers: Tensor, like: Tensor) -> Tensor:
    """Spreads a number per token, [B, H, C], over its tensor."""
    return numbers.view(*numbers.shape, *[1] * (like.dim() - 3))


def _read(p: _Asked, q: Tensor, memories: Each) -> Tensor:
    """Answers each query with the memory of its token."""
    model, own = p.function, p.own("function")
    z = model.entered(q, own)
    for i, stage in enumerate(model.stages):
        z = _met(model.between(z) if i else z, stage, memories)
    return model.answer(q, z, own)


def _met(z: Tensor, stage: Stage, memories: Each) -> Tensor:
    said = (z[..., None, :] @ memories[stage.weight])[..., 0, :]
    return said if stage.bias is None else said + memories[stage.bias]
