"""Spectrum: by which factors one token multiplies what is in the memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Params, part
from ...space.functions import Memory
from ...space.optimizers import ChunkStart, Incremental
from ...space.option import option
from ...space.spec import Spec
from ...space.weights import MemorylessWeights
from ...stream import RANGES, Signal, Stream
from ..metric import Metric
from ..tasks.base import generator
from ..tasks.constants import Constants
from .asking import units
from .base import Curves, Probe
from .measured import Measured

PAIRS = 4
"""In the memory whose transition is looked at."""


@dataclass(frozen=True)
class Spectrum(Probe):
    r"""The eigenvalues of $\partial S_t / \partial S_{t-1}$, the transition of one token.

    By automatic differentiation of the definition, of all that goes from token to token, at a
    memory of four pairs; for random unit keys, signals at either end of their ranges or between.
    *Lowest* is the least real part: below 0 one layer can count modulo 2. *Size* is the largest
    modulus: above 1 old content grows. *Turn* is the largest imaginary part. Where gradients are
    those of a chunk it is the transition of a chunk; of an exact fit, the fading of its sums; a
    cell that keeps the pairs themselves multiplies nothing: 1.

    Example:
        | cell                                  | lowest | size | turn |
        |---------------------------------------|--------|------|------|
        | Hebbian, a decay of 0.9               | 0.9    | 0.9  | 0    |
        | SGD, steps up to 1                    | 0      | 1    | 0    |

    Reference: Unlocking state-tracking in linear RNNs through negative eigenvalues (Grazzi et al.,
    2024) https://arxiv.org/abs/2411.12537

    Example:
        >>> import ttr_core as ttr
        >>> spec = ttr.Spec.parse("Uniform | Linear | SGD(link=twice_sigmoid)")
        >>> found = Spectrum().evaluate(spec)
        >>> round(found.metrics["eigenvalue_low"], 6)
        -1.0
    """

    name: ClassVar[str] = "spectrum"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("eigenvalue_low", "lower", help="Least real part of an eigenvalue of a token."),
        Metric("eigenvalue_size", "lower", 0.0, help="Largest modulus of an eigenvalue."),
        Metric("eigenvalue_turn", "higher", 0.0, help="Largest imaginary part of an eigenvalue."),
    )

    dim: int = option(4, "Size of keys and values.", low=2, high=16)
    seq_len: int = option(16, "Transitions that are looked at.", low=8, high=4096)

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        if not isinstance(spec.weights, MemorylessWeights):
            return _extremes([torch.ones(1, dtype=torch.complex128)])
        source = generator(seed, "test")
        return _extremes([self.eigenvalues(spec, i, source) for i in range(self.seq_len)])

    def eigenvalues(self, spec: Spec, draw: int, source: torch.Generator) -> Tensor:
        """Returns the eigenvalues of one transition; signals stand high, then low, then anywhere.

        Args:
            spec: the cell.
            draw: which.
            source: of keys and signals.
        """
        assert isinstance(spec.weights, MemorylessWeights)
        optimizer, stepwise = spec.optimizer, spec.optimizer
        fitted = not isinstance(stepwise, Incremental) or stepwise.discounts
        tokens = optimizer.size if isinstance(optimizer, ChunkStart) else 1
        x = self.stream(spec, draw, tokens, source)
        params = {n: p.detach().double() for n, p in spec.parameters(self.dim, self.dim, 1).items()}
        if not isinstance(stepwise, Incremental) or fitted:
            log_decay = spec.weights.recency(x, part(params, "weights")).log_decay
            kept = x.k.new_ones(1) if log_decay is None else log_decay[0, 0, -1].exp()
            return kept.to(torch.complex128)
        passed = Passed(spec, stepwise, x, params)
        start = passed.start(PAIRS)
        with torch.no_grad():
            jacobian = torch.func.jacrev(passed.after)(passed.flat(*start))
        values: Tensor = torch.linalg.eigvals(jacobian.nan_to_num())
        return values

    def stream(self, spec: Spec, draw: int, tokens: int, source: torch.Generator) -> Stream:
        """Draws the pairs that a memory starts with and those of the transition."""
        length = PAIRS + tokens
        k = units((1, 1, length, self.dim), source).double()
        v = units((1, 1, length, self.dim), source).double()
        signals = {
            s.name: _drawn(s, spec.signal_width(s, self.dim, self.dim), length, draw, source)
            for s in spec.signals
        }
        return Stream(k, k, v, signals)


@dataclass(frozen=True)
class Passed:
    """What goes from token to token in the definition of a cell, as one vector.

    Args:
        spec: the cell.
        optimizer: its own.
        x: pairs, one head of one sequence.
        params: the cell's parameters.
    """

    spec: Spec
    optimizer: Incremental
    x: Stream
    params: Params

    def start(self, tokens: int) -> tuple[Memory, Carried]:
        """Returns memory and state after the first tokens; a chunk begins with them."""
        memory = self.spec.function.init(self.x.key_dim, self.x.value_dim, self.x.k, self._own)
        state = self.optimizer.begin(memory)
        for t in range(tokens):
            memory, state = self._token(memory, state, t)
        chunked = isinstance(self.optimizer, ChunkStart)
        return memory, self.optimizer.begin(memory) if chunked else state

    def flat(self, memory: Memory, state: Carried) -> Tensor:
        """Returns all that goes on as one vector; a chunk goes on from its memory alone."""
        kept = {} if isinstance(self.optimizer, ChunkStart) else state
        return torch.cat([z.flatten() for z in (*memory.values(), *kept.values())])

    def after(self, flat: Tensor) -> Tensor:
        """Returns the vector after the tokens of the transition."""
        memory, state = self.start(0)
        memory = _filled(memory, flat)
        used = sum(z.numel() for z in memory.values())
        if isinstance(self.optimizer, ChunkStart):
            state = self.optimizer.begin(memory)
        else:
            state = _filled(state, flat[used:])
        for t in range(PAIRS, self.x.length):
            memory, state = self._token(memory, state, t)
        return self.flat(memory, state)

    @property
    def _own(self) -> Params:
        return self.spec.function.given(part(self.params, "function"), self.x.k)

    def _token(self, memory: Memory, state: Carried, t: int) -> tuple[Memory, Carried]:
        weights, x = self.spec.weights, self.x
        assert isinstance(weights, MemorylessWeights)
        log_decay, importance = weights.recency(x, part(self.params, "weights"))
        learned = {name: p[0] for name, p in part(self.params, "optimizer").items()}
        previous = memory
        if log_decay is not None:
            memory, state = self.optimizer.forget(memory, state, log_decay[0, 0, t].exp())
        weight = x.k.new_ones(()) if importance is None else importance[0, 0, t, 0]
        signals = {n: s[0, 0, t] for n, s in x.signals.items()} | {"importance": weight}

        def loss(
            m: Memory, key: Tensor | None = None, value: Tensor | None = None, back: int = 0
        ) -> Tensor:
            if (at := t - back) < 0:
                return x.k.new_zeros(())
            key = x.k[0, 0, at] if key is None else key
            value = x.v[0, 0, at] if value is None else value
            guess = self.spec.function.predict(m, key[None, None, None], self._own)[0, 0, 0]
            error = self.spec.loss(guess, value, {n: s[0, 0, at] for n, s in x.signals.items()})
            return error if importance is None else importance[0, 0, at, 0] * error

        return self.optimizer.update(memory, state, loss, learned | signals, previous)


def _filled(tensors: Carried, flat: Tensor) -> Carried:
    """Returns the tensors with the numbers of a vector, in order."""
    filled, start = {}, 0
    for name, z in tensors.items():
        filled[name] = flat[start : start + z.numel()].view(z.shape)
        start += z.numel()
    return filled


def _drawn(signal: Signal, width: int, length: int, draw: int, source: torch.Generator) -> Tensor:
    """Draws a signal: the first draw has the high end, the second the low one, others either."""
    if signal.link == "identity":
        return units((1, 1, length, width), source).double()
    low, high = (0.0, 1.0) if signal.logarithmic else RANGES[signal.link]  # the share that is kept
    high = signal.high if math.isinf(high) else high
    at = torch.rand((), generator=source).item()
    part_of = {0: 1.0, 1: 0.0}.get(draw, min(1.0, max(0.0, 2 * at - 0.5)))
    value = low + part_of * (high - low)
    if signal.logarithmic:
        value = math.log(value) if value > 0 else -math.inf
    return torch.full((1, 1, length, width), value, dtype=torch.float64)


def _extremes(each: list[Tensor]) -> tuple[dict[str, Measured], Curves]:
    """Returns the extremes over draws; the interval is what single draws reach."""
    found: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
        "eigenvalue_low": (lambda x: x.real.min(), False),
        "eigenvalue_size": (lambda x: x.abs().max(), True),
        "eigenvalue_turn": (lambda x: x.imag.abs().max(), True),
    }
    estimates, curves = {}, {}
    for name, (extreme, largest) in found.items():
        values = [float(extreme(x)) for x in each]
        value = max(values) if largest else min(values)
        estimates[name] = Measured(value, min(values), max(values), len(values))
        curves[name] = values
    return estimates, curves
