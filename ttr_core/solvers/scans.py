"""One token after another: for decoding, and for what no parallel form covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import KernelModel, LinearModel, Memory
from ..space.losses import Loss
from ..space.optimizers import Incremental, Optimizer, RankOneSteps
from ..space.readouts import Normalized, Plain, Readout, ReadsBefore
from ..space.spec import Spec, axis
from ..space.weights import MemorylessWeights
from ..stream import Stream
from .base import (
    Params,
    Solver,
    State,
    feature_map,
    fitted_values,
    matrix_formula,
    matrix_size,
    memory_formula,
    newest,
    read_out,
    recency,
    start,
)


class RankOneScan(Solver):
    r"""The steps themselves, $S \leftarrow a S - e (S_r^\top r)^\top + w v^\top$, one by one."""

    name: ClassVar[str] = "rank_one_scan"
    cost: ClassVar[str] = "T F V, sequential"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (RankOneSteps,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized, ReadsBefore)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        return Estimate(8.0 * rows * shape.features * shape.value_dim, 0.0)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return matrix_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return matrix_formula(spec, gram=False)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        optimizer = spec.optimizer
        assert isinstance(optimizer, RankOneSteps)
        phi = feature_map(spec, params)
        q, (log_decay, importance) = phi(x.q), recency(spec, x, params)
        pairs = replace(x, v=fitted_values(spec, x))
        read, write, v, erase = optimizer.steps(pairs, phi, importance, axis(params, "optimizer"))
        own = newest(spec, q, write, v, params)
        if state is None:
            memory = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
        else:
            memory = state["S"]
        # Cut in one piece: a slice for each token has a gradient as long as the stream.
        queries, keys, values = (z.split(1, 2) for z in (q, write, v))
        reads = None if read is None else read.split(1, 2)
        erases = None if erase is None else erase.split(1, 2)
        kept = None if log_decay is None else log_decay.exp()[..., None].unbind(2)  # (B H w 1)
        outputs = []
        for t, query in enumerate(queries):
            previous = memory
            if kept is not None:
                memory = memory * kept[t]
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
        return read_out(spec, y if own is None else y + own), {"S": memory}


class AutogradScan(Solver):
    """Any incremental optimizer on any function class: its own update, by automatic gradients."""

    name: ClassVar[str] = "autograd_scan"
    cost: ClassVar[str] = "T automatic gradients, sequential"
    weights = MemorylessWeights
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Incremental,)
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)

    def declines(self, spec: Spec) -> str | None:
        if isinstance(spec.function, KernelModel):
            return "needs a memory whose size is known; that of a kernel grows with every pair"
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        return Estimate(40.0 * rows * shape.features * shape.value_dim, 0.0)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        inner = _begun(spec, shape.key_dim, shape.value_dim)
        held = sum(z.numel() for z in inner.values())
        return spec.function.memory_size(shape.key_dim, shape.value_dim) + held

    def state_formula(self, spec: Spec) -> str:
        model = spec.function
        if not isinstance(model, LinearModel):
            inner = sum(z.numel() for z in _begun(spec, 60, 60).values())
            return memory_formula(spec, 1 + inner // model.memory_size(60, 60))
        shapes = [tuple(z.shape) for z in _begun(spec, 60, 7).values()]
        wide = model.width(60)
        copies = 1 + shapes.count((wide, 7))
        return matrix_formula(spec, gram=(wide, wide) in shapes, copies=copies)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        log_decay, importance = recency(spec, x, params)
        memory, inner = _start(spec, x, params, state)
        own = {n: p for n, p in params.items() if n.startswith(("function.", "optimizer."))}
        step = torch.func.vmap(_head(spec), in_dims=(0, 0, 0, 0))  # over the heads
        step = torch.func.vmap(step, in_dims=(0, 0, 0, None))  # over the batch
        stream = {"q": x.q, "k": x.k, "v": x.v}
        if log_decay is not None:
            stream["keep"] = log_decay.exp()
        if importance is not None:
            stream["importance"] = importance
        stream |= {f"signal.{name}": s for name, s in x.signals.items()}
        outputs = []
        # Cut in one piece: a slice for each token has a gradient as long as the stream.
        for parts in zip(*(z.unbind(2) for z in stream.values()), strict=True):
            token = dict(zip(stream, parts, strict=True))
            memory, inner, y = step(memory, inner, token, own)
            outputs.append(y)
        joined = {f"memory.{n}": m for n, m in memory.items()}
        return torch.stack(outputs, 2), joined | {f"inner.{n}": s for n, s in inner.items()}


def _begun(spec: Spec, key_dim: int, value_dim: int) -> State:
    """Returns the optimizer's own state at the start, of one head."""
    assert isinstance(spec.optimizer, Incremental)
    own = axis(spec.parameters(key_dim, value_dim, 1), "function")
    return spec.optimizer.begin(spec.function.init(key_dim, value_dim, torch.empty(0), own))


def _start(spec: Spec, x: Stream, params: Params, state: State | None) -> tuple[Memory, State]:
    if state is not None:
        memory = {n[7:]: m for n, m in state.items() if n.startswith("memory.")}
        return memory, {n[6:]: s for n, s in state.items() if n.startswith("inner.")}
    optimizer = spec.optimizer
    assert isinstance(optimizer, Incremental)
    batch, heads = x.k.shape[:2]
    memory = start(spec, x, params)
    each = [optimizer.begin({n: m[0, h] for n, m in memory.items()}) for h in range(heads)]
    inner = {n: torch.stack([one[n] for one in each]) for n in each[0]}
    return memory, {n: s.expand(batch, *s.shape).clone() for n, s in inner.items()}


def _head(spec: Spec) -> Callable[[Memory, State, State, State], tuple[Memory, State, Tensor]]:
    """Returns one token's step of one head, for `torch.func.vmap`."""
    optimizer, function = spec.optimizer, spec.function
    assert isinstance(optimizer, Incremental)

    def step(
        memory: Memory, inner: State, token: State, own: State
    ) -> tuple[Memory, State, Tensor]:
        params = {name: p[None] for name, p in axis(own, "function").items()}  # one head
        previous = memory
        if "keep" in token:
            memory, inner = optimizer.forget(memory, inner, token["keep"])

        weight = token["importance"][0] if "importance" in token else token["k"].new_ones(())

        signals = axis(token, "signal") | {"importance": weight}

        def loss(m: Memory, key: Tensor | None = None, value: Tensor | None = None) -> Tensor:
            key = token["k"] if key is None else key
            guess = function.predict(m, key[None, None, None], params)[0, 0, 0]
            return weight * spec.loss(guess, token["v"] if value is None else value, signals)

        signals = axis(own, "optimizer") | signals
        memory, inner = optimizer.update(memory, inner, loss, signals, previous)
        query = token["q"][None, None, None]
        return memory, inner, function.predict(memory, query, params, center=query)[0, 0, 0]

    return step
