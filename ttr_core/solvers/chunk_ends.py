"""Memories that move at the ends of chunks: a chunk is read, differentiated and folded at once."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried, part, whole
from ..space.functions import Memory, Network
from ..space.losses import Loss
from ..space.optimizers import EndSteps
from ..space.weights import MemorylessWeights
from .base import Solver
from .chunk_starts import Stretch, cut
from .least import carried
from .problem import Problem
from .state import Memories, State

_Asked = Problem[MemorylessWeights, Network, EndSteps]


class ChunkEnds(Solver[_Asked]):
    r"""One pass over a chunk for its outputs and one, forward and backward, for its gradients.

    Under decays the memory of a token is that of the chunk times a number, which each query meets.

    Source: Test-Time Training Done Right (Zhang et al., 2025) https://arxiv.org/abs/2505.23884
    """

    name: ClassVar[str] = "chunk_ends"
    cost: ClassVar[str] = "T P for P weights, and Newton-Schulz steps per chunk"
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)

    def declines(self, p: _Asked) -> str | None:
        if p.weights.per_feature:
            return f"needs one decay for the whole memory; {p.weights} has one per feature"
        return None

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        heads = shape.batch * shape.heads
        memory = p.function.memory_size(shape.key_dim, shape.value_dim)
        chunks = -(-shape.length // p.optimizer.size)
        steps = 30.0 * min(shape.key_dim, shape.value_dim) * chunks
        return Estimate(
            heads * memory * (8.0 * shape.length + steps), 4.0 * 12 * heads * memory * chunks
        )

    def state(self, p: _Asked) -> State:
        return carried(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        log_decay, importance = p.recency()
        if kept is None:
            memory = Memories(p.function).begun(p.x, p.own("function"))
            zero = {n: torch.zeros_like(m) for n, m in memory.items()}
            position, held = 0, {"at": memory, "sum": zero, "move": zero}
            share = p.x.k.new_zeros(p.x.k.shape[:2])
        else:
            memory, share = part(kept, "memory"), kept["share"]
            held = {name: part(kept, name) for name in ("at", "sum", "move")}
            position = int(kept["position"].flatten()[0])
        outputs, size = [], p.optimizer.size
        for stretch in cut(p.x, log_decay, importance, size, position):
            memory = held["at"] if position == 0 else memory
            y, memory, at = _answers(p, stretch, memory, None if position == 0 else held["at"])
            outputs.append(y)
            slopes = _gradients(p, stretch, at)
            summed = {n: z + slopes[n] for n, z in held["sum"].items()}
            x = stretch[0]
            share = share + x.signals["momentum"].sum((2, 3)) / size
            held, position = {**held, "at": at, "sum": summed}, position + x.length
            if position >= size:
                moved, drive = p.optimizer.ended(memory, held["move"], share, summed)
                zero = {n: torch.zeros_like(z) for n, z in summed.items()}
                held, position = {"at": moved, "sum": zero, "move": drive}, 0
                share = torch.zeros_like(share)
        # On the CPU, so that to go on from there asks no accelerator for a number.
        where = torch.full(p.x.k.shape[:2], position, device="cpu")
        numbers = {"share": share, "position": where}
        return p.read(torch.cat(outputs, 2)), whole(memory=memory, **held) | numbers


def _answers(
    p: _Asked, stretch: Stretch, memory: Memory, at: Memory | None
) -> tuple[Tensor, Memory, Memory]:
    """Returns what is read, the memory of the last token, and that of the chunk's first."""
    (x, log_decay, _), own = stretch, p.own("function")
    if log_decay is None:
        return p.function.predict(memory, x.q, own), memory, memory if at is None else at
    left = log_decay.cumsum(-1).exp()  # (B H C)
    first = {n: _times(left[..., 0], m) for n, m in memory.items()}

    def read(share: Tensor, query: Tensor) -> Tensor:
        faded = {n: _times(share, m) for n, m in memory.items()}
        return p.function.predict(faded, query[:, :, None], own)[:, :, 0]

    y = torch.func.vmap(read, in_dims=2, out_dims=2)(left, x.q)
    last = {n: _times(left[..., -1], m) for n, m in memory.items()}
    return y, last, first if at is None else at


def _gradients(p: _Asked, stretch: Stretch, at: Memory) -> Memory:
    """Returns the sum of the gradients of a stretch, each times its step, at a memory."""
    (x, _, importance), own = stretch, p.own("function")

    def loss(memory: Memory) -> Tensor:
        each = p.loss(p.function.predict(memory, x.k, own), x.v, x.signals)
        each = each * x.signals["step"][..., 0]
        return (each if importance is None else each * importance[..., 0]).sum()

    gradients: Memory = torch.func.grad(loss)(at)
    return gradients


def _times(share: Tensor, m: Tensor) -> Tensor:
    """Returns the tensors of all heads times a number each, [B, H]."""
    return share.view(*share.shape, *[1] * (m.dim() - 2)) * m
