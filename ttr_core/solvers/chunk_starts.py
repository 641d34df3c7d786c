"""What solvers of chunk-start gradients share: the chunks, their pairs, gradients and sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..named import Carried, Params, part, whole
from ..space.functions import Memory, StagedModel
from ..space.optimizers import ChunkStart
from ..space.optimizers.segments import Mix
from ..space.weights import MemorylessWeights
from ..stream import Stream
from .problem import Problem

P = TypeVar("P", bound=Problem[Any, Any, Any])
Chunks = Problem[MemorylessWeights, StagedModel, ChunkStart]
Stretch = tuple[Stream, Tensor | None, Tensor | None]
"""Tokens of one chunk, their log decays, [B, H, C], and weights, [B, H, C, 1]."""
GROUP = 8  # segments that are computed once more together, of those that are


class Gradients(NamedTuple):
    """The gradients of a segment, each an outer product, stage by stage.

    Args:
        inputs: what entered the matrix, [B, H, C, F].
        errors: the slope of the loss after it, [B, H, C, G].
    """

    inputs: list[Tensor]
    errors: list[Tensor]


class Held(NamedTuple):
    """What goes from segment to segment.

    Args:
        at: the memory at which gradients are taken, [B, H, F, V] each.
        base: the memory itself, or its dual.
        move: what drives it beside the gradients; None for zero.
        position: tokens of the chunk so far.
        earlier: the pairs that the next steps take once more; nothing where they take none.
    """

    at: Memory
    base: Memory
    move: Memory | None
    position: int
    earlier: Carried


def resumed(kept: Carried) -> Held:
    """Returns what an earlier part of the sequence left."""
    position, move = int(kept["position"].flatten()[0]), part(kept, "move") or None
    return Held(part(kept, "at"), part(kept, "base"), move, position, part(kept, "earlier"))


def after(p: Chunks, held: Held) -> Carried:
    """Returns what goes on after the last segment."""
    # On the CPU, so that to go on from there asks no accelerator for a number.
    position = torch.full(p.x.k.shape[:2], held.position, device="cpu")
    state = whole(at=held.at, base=held.base, earlier=held.earlier) | {"position": position}
    if not p.optimizer.moves:
        return state
    still = held.move or {n: m.new_zeros(m.shape) for n, m in held.at.items()}
    return state | whole(move=still)


def cut(
    x: Stream, log_decay: Tensor | None, importance: Tensor | None, size: int, done: int
) -> Iterator[Stretch]:
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


def in_groups(
    run: Callable[[P, Stretch, Held], tuple[Tensor, Held]],
    p: P,
    parts: list[Stretch],
    held: Held,
    group: int = GROUP,
    again: bool = False,
) -> tuple[Tensor, Held]:
    """Runs segments one after the other.

    Args:
        run: answers the queries of a segment, and folds its pairs into the memory.
        p: the problem.
        parts: the segments.
        held: what goes into the first.
        group: how many are computed once more together.
        again: whether they are computed once more in the backward pass, which then keeps what lies
            between groups alone.
    """

    def some(held: Held, *parts: Stretch) -> tuple[Tensor, Held]:
        outputs = []
        for one in parts:
            y, held = run(p, one, held)
            outputs.append(y)
        return torch.cat(outputs, 2), held

    outputs = []
    for start in range(0, len(parts), group):
        asked = parts[start : start + group]
        if again and torch.is_grad_enabled():
            y, held = checkpoint(some, held, *asked, use_reentrant=False, preserve_rng_state=False)
        else:
            y, held = some(held, *asked)
        outputs.append(y)
    return torch.cat(outputs, 2), held


def taken(p: Chunks, x: Stream, importance: Tensor | None, earlier: Carried) -> Carried:
    """Returns what gradients are taken of: keys, values, weights and what the loss asks for."""
    pairs = {"k": x.k, "v": x.v} | whole(signal={s.name: x.signals[s.name] for s in p.loss.signals})
    if importance is not None:
        pairs["weight"] = importance
    return {n: torch.cat([earlier[n], z], 2) for n, z in pairs.items()} if earlier else pairs


def gradients_at(p: Chunks, pairs: Carried, own: Params, at: Memory) -> Gradients:
    """One pass forward and backward over the keys, by hand, so that training goes through it."""
    model, stages, keys = p.function, p.function.stages, pairs["k"]
    inputs = [model.entered(keys, own)]
    sums: list[Tensor] = []
    for weight, bias in stages:
        if sums:
            inputs.append(model.between(sums[-1]))
        z = inputs[-1] @ at[weight]
        sums.append(z if bias is None else z + at[bias][..., None, :])
    said = model.answer(keys, sums[-1], own)
    error = p.loss.slope(said, pairs["v"], part(pairs, "signal"))
    error = error * pairs["weight"] if "weight" in pairs else error
    errors = [model.pulled_back(sums[-1], error, own)]
    for (weight, _), z in zip(stages[:0:-1], sums[-2::-1], strict=True):
        errors.append((errors[-1] @ at[weight].mT) * model.slope(z))
    return Gradients(inputs, errors[::-1])


def mixed(p: Chunks, held: Held, gradients: Gradients, mix: Mix) -> Memory:
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
