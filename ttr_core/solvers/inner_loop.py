"""Networks and matrices trained inside the layer, their gradients taken at chunk starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..limits import Estimate, Shape
from ..named import Carried, Params, part, whole
from ..space.functions import Memory, Stage, StagedModel
from ..space.losses import Loss
from ..space.optimizers import ChunkStart, Mirrored
from ..space.optimizers.chunked import Mix, Segment
from ..space.weights import MemorylessWeights
from ..stream import Stream
from .base import Solver
from .least import chunked
from .problem import Problem
from .state import State


class Gradients(NamedTuple):
    """The gradients of a segment, each an outer product, stage by stage.

    Args:
        inputs: what entered the matrix, [B, H, C, F].
        errors: the slope of the loss after it, [B, H, C, G].
    """

    inputs: list[Tensor]
    errors: list[Tensor]


_Asked = Problem[MemorylessWeights, StagedModel, ChunkStart]
_Part = tuple[Stream, Tensor | None, Tensor | None]

GROUP = 8  # segments that are computed once more together, of those that are
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
        return chunked(p.function, p.optimizer)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, size = p.x, p.optimizer.size
        log_decay, importance = p.recency()
        if kept is None:
            held = _begin(p, chunked(p.function, p.optimizer).begun(x, p.own("function")))
        else:
            held = _resumed(kept)
        parts = [*_parts(x, log_decay, importance, size, held.position)]
        outputs, again = [], torch.is_grad_enabled() and self._is_heavy(p, len(parts))
        group = max(1, GROUP // 2) if isinstance(p.optimizer, Mirrored) else GROUP
        for start in range(0, len(parts), group):
            asked = (p, parts[start : start + group], held)
            if again:
                y, held = checkpoint(
                    _segments, *asked, use_reentrant=False, preserve_rng_state=False
                )
            else:
                y, held = _segments(*asked)
            outputs.append(y)
        return p.read(torch.cat(outputs, 2)), _kept(p, held)

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


def _parts(
    x: Stream, log_decay: Tensor | None, importance: Tensor | None, size: int, done: int
) -> Iterator[_Part]:
    """Cuts a stream at the ends of its chunks, the first of which has ``done`` tokens already.

    In one piece: a slice for each chunk has a gradient as long as the stream.
    """
    first = min(size - done, x.length)
    sizes = [first, *[size] * ((x.length - first) // size)]
    sizes += [rest] if (rest := x.length - sum(sizes)) else []
    none = [None] * len(sizes)
    signals = {name: s.split(sizes, 2) for name, s in x.signals.items()}
    decays = none if log_decay is None else log_decay[..., 0].split(sizes, 2)
    weights = none if importance is None else importance.split(sizes, 2)
    qkv = (z.split(sizes, 2) for z in (x.q, x.k, x.v))
    for i, (q, k, v, decay, weight) in enumerate(zip(*qkv, decays, weights, strict=True)):
        yield Stream(q, k, v, {name: s[i] for name, s in signals.items()}), decay, weight


def _segments(p: _Asked, parts: list[_Part], held: Held) -> tuple[Tensor, Held]:
    """Runs segments one after the other."""
    outputs = []
    for tokens, decay, weight in parts:
        y, held = _segment(p, tokens, held, decay, weight)
        outputs.append(y)
    return torch.cat(outputs, 2), held


class Held(NamedTuple):
    """What goes from segment to segment.

    Args:
        at: the memory at which gradients are taken, [B, H, F, V] each.
        base: the memory itself, or its dual.
        move: what drives it beside the gradients; None for zero.
        position: tokens of the chunk so far.
    """

    at: Memory
    base: Memory
    move: Memory | None
    position: int


def _place(p: _Asked, base: Memory) -> Memory:
    return p.optimizer.mirrored(base) if isinstance(p.optimizer, Mirrored) else base


def _begin(p: _Asked, memory: Memory) -> Held:
    return Held(_place(p, memory), memory, None, 0)


def _resumed(kept: Carried) -> Held:
    position = int(kept["position"].flatten()[0])
    return Held(part(kept, "at"), part(kept, "base"), part(kept, "move") or None, position)


def _kept(p: _Asked, held: Held) -> Carried:
    # On the CPU, so that to go on from there asks no accelerator for a number.
    position = torch.full(p.x.k.shape[:2], held.position, device="cpu")
    after = whole(at=held.at, base=held.base) | {"position": position}
    if not p.optimizer.moves:
        return after
    still = held.move or {n: m.new_zeros(m.shape) for n, m in held.at.items()}
    return after | whole(move=still)


def _segment(
    p: _Asked,
    x: Stream,
    held: Held,
    log_decay: Tensor | None,
    importance: Tensor | None,
) -> tuple[Tensor, Held]:
    """Answers the queries of a segment, and folds its pairs into the memory."""
    optimizer, own = p.optimizer, p.own("function")
    gradients = _gradients(p, x, own, held.at, importance)
    scores = x.k.new_empty(()).expand(*x.k.shape[:2], x.length, x.length)
    inputs = gradients.inputs[0].shape[-1]
    learned = p.own("optimizer")
    segment = Segment(held.position, scores, log_decay, x.signals, learned, inputs)
    plan = optimizer.plan(segment)
    y = _read(p, x, own, held, gradients, plan.read)
    base = _mixed(p, held, gradients, plan.base)
    move = None if plan.move is None else _mixed(p, held, gradients, plan.move)
    position = held.position + x.length
    if position < optimizer.size:
        return y, Held(held.at, base, move, position)
    return y, Held(_place(p, base), base, move, 0)


def _gradients(
    p: _Asked, x: Stream, own: Params, at: Memory, importance: Tensor | None
) -> Gradients:
    """One pass forward and backward over the keys, by hand, so that training goes through it."""
    model, stages = p.function, p.function.stages
    inputs = [model.entered(x.k, own)]
    sums: list[Tensor] = []
    for weight, bias in stages:
        if sums:
            inputs.append(model.between(sums[-1]))
        z = inputs[-1] @ at[weight]
        sums.append(z if bias is None else z + at[bias][..., None, :])
    error = p.loss.slope(model.answer(x.k, sums[-1], own), x.v, x.signals)
    error = error if importance is None else error * importance
    errors = [model.pulled_back(sums[-1], error, own)]
    for (weight, _), z in zip(stages[:0:-1], sums[-2::-1], strict=True):
        errors.append((errors[-1] @ at[weight].mT) * model.slope(z))
    return Gradients(inputs, errors[::-1])


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


def _mixed(p: _Asked, held: Held, gradients: Gradients, mix: Mix) -> Memory:
    """Returns the memory that one row of coefficients makes."""
    made = {}
    for (weight, bias), h, error in zip(p.function.stages, *gradients, strict=True):
        made[weight] = -(h * mix.gradients.mT).mT @ error
        if bias is not None:
            made[bias] = -(mix.gradients @ error)[..., 0, :]
    for share, memory in ((mix.base, held.base), (mix.move, held.move)):
        if share is not None and memory is not None:
            for name in made:
                rank = made[name].dim() - 2
                made[name] = made[name] + share.view(*share.shape[:2], *[1] * rank) * memory[name]
    return made
