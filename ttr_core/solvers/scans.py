"""One token after another: for decoding, and for what no parallel form covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried, part, whole
from ..space.functions import FunctionClass, KernelModel, LinearModel, Memory
from ..space.losses import Loss
from ..space.optimizers import ChunkStart, Incremental, RankOneSteps
from ..space.readouts import Direct, Divides, Readout, ReadsBefore
from ..space.spec import Spec
from ..space.weights import MemorylessWeights
from .base import Solver
from .least import carried
from .problem import TINY, Problem
from .state import Matrix, Memories, State

_Steps = Problem[MemorylessWeights, LinearModel, RankOneSteps]


class RankOneScan(Solver[_Steps]):
    r"""The steps themselves, $S \leftarrow a S - e (S_r^\top r)^\top + w v^\top$, one by one."""

    name: ClassVar[str] = "rank_one_scan"
    cost: ClassVar[str] = "T F V, sequential"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides, ReadsBefore)

    def sequential(self, spec: Spec) -> bool:
        return True

    def work(self, p: _Steps, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        return Estimate(8.0 * rows * shape.features * shape.value_dim, 0.0)

    def state(self, p: _Steps) -> State:
        return carried(p.spec)

    def solve(self, p: _Steps, kept: Carried | None) -> tuple[Tensor, Carried]:
        optimizer, x, phi = p.optimizer, p.x, p.phi()
        q, recency = phi(x.q), p.recency()
        before = {} if kept is None else part(kept, "inner")
        x = replace(x, v=p.values())
        steps, inner = optimizer.resume(x, phi, recency, p.own("optimizer"), before)
        read, write, v, erase = steps
        own, memory = p.newest(q, write, v), Matrix.restored(kept)
        if memory is None:
            memory = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
        # Cut in one piece: a slice for each token has a gradient as long as the stream.
        queries, keys, values = (z.split(1, 2) for z in (q, write, v))
        reads = None if read is None else read.split(1, 2)
        erases = None if erase is None else erase.split(1, 2)
        decays = None
        if recency.log_decay is not None:
            decays = recency.log_decay.exp()[..., None].unbind(2)  # (B H w 1)
        outputs = []
        for t, query in enumerate(queries):
            previous = memory
            if decays is not None:
                memory = memory * decays[t]
            for i in range(t * optimizer.n, (t + 1) * optimizer.n):
                first = i == t * optimizer.n
                at = previous if first and optimizer.reads_undecayed else memory
                if reads is None:
                    moved = keys[i].mT @ values[i]
                elif erases is None:
                    moved = keys[i].mT @ (values[i] - reads[i] @ at)
                else:
                    moved = keys[i].mT @ values[i] - erases[i].mT @ (reads[i] @ at)
                memory = memory + moved
            outputs.append(query @ (memory if own is None else previous))
        y = torch.cat(outputs, 2)
        return p.read(y if own is None else y + own), Matrix.keep(memory) | whole(inner=inner)


_Any = Problem[MemorylessWeights, FunctionClass, Incremental]


class AutogradScan(Solver[_Any]):
    """Any incremental optimizer on any function class: its own update, by automatic gradients."""

    name: ClassVar[str] = "autograd_scan"
    cost: ClassVar[str] = "T automatic gradients, sequential"
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)

    def declines(self, p: _Any) -> str | None:
        if isinstance(p.function, KernelModel):
            return "needs a memory whose size is known; that of a kernel grows with every pair"
        if isinstance(p.optimizer, ChunkStart) and p.optimizer.window > 1:
            return f"needs a step on the newest pair; {p.optimizer} takes earlier ones once more"
        return None

    def sequential(self, spec: Spec) -> bool:
        return True

    def work(self, p: _Any, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        return Estimate(40.0 * rows * shape.features * shape.value_dim, 0.0)

    def state(self, p: _Any) -> State:
        return carried(p.spec)

    def solve(self, p: _Any, kept: Carried | None) -> tuple[Tensor, Carried]:
        x, (log_decay, importance) = p.x, p.recency()
        memory, inner = _start(p) if kept is None else (part(kept, "memory"), part(kept, "inner"))
        own = whole(function=p.own("function"), optimizer=p.own("optimizer"))
        step = torch.func.vmap(_head(p), in_dims=(0, 0, 0, 0))  # over the heads
        step = torch.func.vmap(step, in_dims=(0, 0, 0, None))  # over the batch
        stream = {"q": x.q, "k": x.k, "v": x.v}
        if log_decay is not None:
            stream["keep"] = log_decay.exp()
        if importance is not None:
            stream["importance"] = importance + TINY  # a step that divides by it has its limit at 0
        stream |= whole(signal=x.signals)
        outputs = []
        # Cut in one piece: a slice for each token has a gradient as long as the stream.
        for parts in zip(*(z.unbind(2) for z in stream.values()), strict=True):
            token = dict(zip(stream, parts, strict=True))
            memory, inner, y = step(memory, inner, token, own)
            outputs.append(y)
        return p.read(torch.stack(outputs, 2)), whole(memory=memory, inner=inner)


def _start(p: _Any) -> tuple[Memory, Carried]:
    """Returns memory and state of all heads before the first token."""
    batch, heads = p.x.k.shape[:2]
    memory = Memories(p.function).begun(p.x, p.own("function"))
    each = [p.optimizer.begin({n: m[0, h] for n, m in memory.items()}) for h in range(heads)]
    inner = {n: torch.stack([one[n] for one in each]) for n in each[0]}
    return memory, {n: s.expand(batch, *s.shape).clone() for n, s in inner.items()}


def _head(p: _Any) -> Callable[[Memory, Carried, Carried, Carried], tuple[Memory, Carried, Tensor]]:
    """Returns one token's step of one head, for `torch.func.vmap`."""
    optimizer, function, of = p.optimizer, p.function, p.loss

    def step(
        memory: Memory, inner: Carried, token: Carried, own: Carried
    ) -> tuple[Memory, Carried, Tensor]:
        params = {name: p[None] for name, p in part(own, "function").items()}  # one head
        previous = memory
        if "keep" in token:
            memory, inner = optimizer.forget(memory, inner, token["keep"])

        weight = token["importance"][0] if "importance" in token else token["k"].new_ones(())

        signals = part(token, "signal") | {"importance": weight}

        def loss(
            m: Memory, key: Tensor | None = None, value: Tensor | None = None, back: int = 0
        ) -> Tensor:
            key = token["k"] if key is None else key
            guess = function.predict(m, key[None, None, None], params)[0, 0, 0]
            return weight * of(guess, token["v"] if value is None else value, signals)

        signals = part(own, "optimizer") | signals
        memory, inner = optimizer.update(memory, inner, loss, signals, previous)
        query = token["q"][None, None, None]
        return memory, inner, function.predict(memory, query, params, center=query)[0, 0, 0]

    return step
