"""One token after another: for decoding, and for what no parallel form covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from ..functions import LinearModel, Memory
from ..limits import Estimate, Shape
from ..optimizers import Incremental, Optimizer, RankOneStep
from ..readouts import Normalized, Plain, Readout
from ..spec import Spec, axis
from ..stream import Stream
from ..weights import MemorylessWeights
from .base import (
    Params,
    Solver,
    State,
    features,
    fitted_values,
    matrix_formula,
    matrix_size,
    read_out,
    recency,
)


class RankOneScan(Solver):
    r"""The rank-one step itself, $S \leftarrow a S + w (v - S_r^\top r)^\top$, token by token."""

    name: ClassVar[str] = "rank_one_scan"
    cost: ClassVar[str] = "T F V, sequential"
    weights = MemorylessWeights
    function = LinearModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (RankOneStep,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized)

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
        assert isinstance(optimizer, RankOneStep)
        q, k = features(spec, x, params)
        log_decay, importance = recency(spec, x, params)
        read, write = optimizer.vectors(k, importance, x.signals)
        v = fitted_values(spec, x)
        if state is None:
            memory = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
        else:
            memory = state["S"]
        kept = None if log_decay is None else log_decay.exp()[..., None]  # (B H T w 1)
        outputs = []
        for t in range(x.length):
            previous = memory
            if kept is not None:
                memory = memory * kept[:, :, t]
            error = v[:, :, t : t + 1]
            if read is not None:
                at = previous if optimizer.reads_undecayed else memory
                error = error - read[:, :, t : t + 1] @ at
            memory = memory + write[:, :, t : t + 1].mT @ error
            outputs.append(q[:, :, t : t + 1] @ memory)
        return read_out(spec, torch.cat(outputs, 2)), {"S": memory}


class AutogradScan(Solver):
    """Any incremental optimizer on any function class: its own update, by automatic gradients."""

    name: ClassVar[str] = "autograd_scan"
    cost: ClassVar[str] = "T automatic gradients, sequential"
    weights = MemorylessWeights
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Incremental,)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        return Estimate(40.0 * rows * shape.features * shape.value_dim, 0.0)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return spec.function.memory_size(shape.key_dim, shape.value_dim)

    def state_formula(self, spec: Spec) -> str:
        return (
            matrix_formula(spec, gram=False) if isinstance(spec.function, LinearModel) else "memory"
        )

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        log_decay, importance = recency(spec, x, params)
        memory, inner = _start(spec, x, state)
        own = axis(params, "function")
        step = torch.func.vmap(_head(spec), in_dims=(0, 0, 0, 0))  # over the heads
        step = torch.func.vmap(step, in_dims=(0, 0, 0, None))  # over the batch
        outputs = []
        for t in range(x.length):
            token = {"q": x.q[:, :, t], "k": x.k[:, :, t], "v": x.v[:, :, t]}
            if log_decay is not None:
                token["keep"] = log_decay[:, :, t].exp()
            if importance is not None:
                token["importance"] = importance[:, :, t]
            token |= {f"signal.{name}": s[:, :, t] for name, s in x.signals.items()}
            memory, inner, y = step(memory, inner, token, own)
            outputs.append(y)
        joined = {f"memory.{n}": m for n, m in memory.items()}
        return torch.stack(outputs, 2), joined | {f"inner.{n}": s for n, s in inner.items()}


def _start(spec: Spec, x: Stream, state: State | None) -> tuple[Memory, State]:
    if state is not None:
        memory = {n[7:]: m for n, m in state.items() if n.startswith("memory.")}
        return memory, {n[6:]: s for n, s in state.items() if n.startswith("inner.")}
    optimizer = spec.optimizer
    assert isinstance(optimizer, Incremental)
    batch, heads = x.k.shape[:2]
    one = spec.function.init(x.key_dim, x.value_dim, x.k)
    inner = optimizer.begin(one)

    def spread(z: Tensor) -> Tensor:
        return z.expand(batch, heads, *z.shape).clone()

    return {n: spread(m) for n, m in one.items()}, {n: spread(s) for n, s in inner.items()}


def _head(spec: Spec) -> Callable[[Memory, State, State, State], tuple[Memory, State, Tensor]]:
    """Returns one token's step of one head, for `torch.func.vmap`."""
    optimizer, function = spec.optimizer, spec.function
    assert isinstance(optimizer, Incremental)

    def step(
        memory: Memory, inner: State, token: State, own: State
    ) -> tuple[Memory, State, Tensor]:
        params = {name: p[None] for name, p in own.items()}  # one head
        previous = memory
        if "keep" in token:
            memory, inner = optimizer.forget(memory, inner, token["keep"])

        weight = token["importance"][0] if "importance" in token else token["k"].new_ones(())

        def loss(m: Memory) -> Tensor:
            guess = function.predict(m, token["k"][None, None, None], params)[0, 0, 0]
            return weight * spec.loss(guess, token["v"])

        prefix = "signal."
        signals = {n[len(prefix) :]: s for n, s in token.items() if n.startswith(prefix)}
        signals["importance"] = weight
        memory, inner = optimizer.update(memory, inner, loss, signals, previous)
        query = token["q"][None, None, None]
        return memory, inner, function.predict(memory, query, params, center=query)[0, 0, 0]

    return step
