"""The least that the definition of a layer needs to go on, whatever solver runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch

from ..limits import Shape
from ..named import part
from ..space.functions import (
    FeatureModel,
    KernelModel,
    LinearModel,
    LocalModel,
    MatrixModel,
)
from ..space.optimizers import (
    ChunkStart,
    FadingRidge,
    FixedRidge,
    Incremental,
    Iterations,
    KeyStep,
    Retrospective,
    Sum,
)
from ..space.spec import Spec
from ..space.weights import MemorylessWeights, RotatingWeights, SpannedWeights, TwiceWritten
from .state import Both, Matrix, Memories, Pairs, Past, State, Vectors, WithNewest


@dataclass(frozen=True)
class Least:
    """States of a layer, each of which is enough to go on from.

    Weights without a kernel leave a memory of fixed size, or the sums that a fit is made from:
    *running* states. What is a sum over pairs, or asks each of them anew, can be had from the
    *pairs* as well: keys, values, and a number where weights differ and are not part of the value.

    Args:
        states: running ones first.
    """

    states: tuple[State, ...]

    def size(self, shape: Shape) -> int:
        """Returns how many numbers the smallest has for one head."""
        return min(state.size(shape) for state in self.states)

    def packed(self, shape: Shape) -> int:
        """Returns the same with one half, and the diagonal, of symmetric matrices."""
        return min(state.halved.size(shape) for state in self.states)

    def formula(self) -> str:
        """Returns the size for all heads: that of a fixed size, if there is one."""
        return self.states[0].formula()

    def packed_formula(self) -> str:
        """Returns the same with one half of symmetric matrices."""
        return self.states[0].halved.formula()

    def others(self) -> tuple[str, ...]:
        """Returns the formulas of the other states, which may be smaller."""
        found = dict.fromkeys(state.formula() for state in self.states)
        return tuple(found)[1:]


@lru_cache(maxsize=4096)
def least(spec: Spec) -> Least:
    """Returns the states that the structure of a layer leaves to choose from."""
    found = (*_running(spec), *_pairs(spec), *_past(spec))
    return Least(found)


def _running(spec: Spec) -> Iterator[State]:
    """Yields what goes on from token to token with a size that does not grow."""
    weights, model, optimizer = spec.weights, spec.function, spec.optimizer
    if isinstance(model, KernelModel):
        return
    if isinstance(weights, RotatingWeights):
        if isinstance(optimizer, Sum):
            yield _summed(spec, 2)
    elif isinstance(weights, TwiceWritten):
        if isinstance(optimizer, Sum) and isinstance(model, LinearModel):
            yield WithNewest(model, spec.readout.divides)
    elif isinstance(weights, SpannedWeights):
        if isinstance(optimizer, Sum) and isinstance(model, LinearModel):
            slots = weights.count - 1
            yield Matrix(model, slots, vectors=slots * int(spec.readout.divides), numbers=1)
    elif not isinstance(weights, MemorylessWeights):
        return
    elif isinstance(optimizer, Sum):
        yield _summed(spec, 1)
    elif isinstance(optimizer, FixedRidge | Iterations):
        if isinstance(model, MatrixModel):  # a polynomial's sums can be moved to any query
            yield Matrix(model, gram=True)
    elif isinstance(optimizer, FadingRidge):
        if isinstance(model, MatrixModel):  # what is left of the ridge, and whose turn it is
            yield Matrix(model, gram=True, vectors=int(weights.fades), numbers=int(weights.fades))
    elif isinstance(optimizer, ChunkStart):
        yield chunked(spec)
    elif isinstance(optimizer, Incremental):
        yield carried(spec)


def _summed(spec: Spec, parts: int) -> State:
    """Returns sums of pairs, of one part or of sine and cosine."""
    model, ones = spec.function, parts * spec.readout.divides
    if isinstance(model, LinearModel):
        return Matrix(model, parts, vectors=ones)
    if isinstance(model, LocalModel):  # whose slope one step never reads
        return Vectors(parts, ones)
    return Memories(model, parts, ones)


def chunked(spec: Spec) -> State:
    """Returns the gradients' place, the memory, what drives it, and how far the chunk has come.

    Beside them the pairs that the next steps take once more.
    """
    optimizer = spec.optimizer
    assert isinstance(optimizer, ChunkStart)
    memories = Memories(spec.function, 3 if optimizer.moves else 2, numbers=1)
    if optimizer.window == 1:
        return memories
    varied = any(signal.name.startswith("importance") for signal in spec.weights.signals)
    numbers = int(varied) + len(spec.loss.signals)
    return Both(memories, Pairs(numbers, reach=optimizer.window))


def carried(spec: Spec) -> State:
    """Returns a memory and what its optimizer, an incremental one, carries beside it."""
    model, optimizer = spec.function, spec.optimizer
    assert isinstance(optimizer, Incremental)
    own = part(spec.parameters(60, 7, 1), "function")
    begun = optimizer.begin(model.init(60, 7, torch.empty(0), own))
    if not isinstance(model, LinearModel):
        held = sum(z.numel() for z in begun.values())
        copies, numbers = divmod(held, model.memory_size(60, 7))
        return Memories(model, 1 + copies, numbers)
    wide, shapes = model.width(60), [tuple(z.shape) for z in begun.values()]
    matrices, grams, vectors = (shapes.count(s) for s in ((wide, 7), (wide, wide), (wide,)))
    numbers = len(shapes) - matrices - grams - vectors
    return Matrix(model, 1 + matrices, bool(grams), vectors + spec.readout.divides, numbers)


def _pairs(spec: Spec) -> Iterator[State]:
    """Yields the pairs alone, with all that is known of them folded into few numbers.

    A sum of pairs has its factors in the values, the memory of a step along the key in the errors
    that stand in their place; an exact fit weighs a pair twice, and a normalizer has no values.
    """
    weights, optimizer = spec.weights, spec.optimizer
    if not isinstance(spec.function, FeatureModel | LocalModel) or weights.per_feature:
        return
    parts = weights.factors()
    varied = any(w.signals for w in parts if isinstance(w, MemorylessWeights))
    kernels = [w for w in parts if not isinstance(w, MemorylessWeights)]
    asked = [s for w in kernels for s in w.signals if s.name not in w.momentary]
    ones = spec.readout.divides
    if asked:  # of a kernel, or of weights that depend on other pairs
        return
    reach = Past(spec).reach
    if isinstance(optimizer, Sum):
        yield Pairs(int(ones and (varied or bool(optimizer.signals))), reach=reach)
    elif isinstance(optimizer, FixedRidge | Iterations):
        yield Pairs(int(varied), reach=reach)
    elif isinstance(optimizer, KeyStep) and reach is None:
        yield Pairs(int(ones))


def _past(spec: Spec) -> Iterator[State]:
    """Yields the tokens as they were given, which every fit can be made from again.

    The memory of a network is what its definition goes on from, and no sum over pairs; but where
    weights end some tokens back, it starts anew at each token.
    """
    anew = isinstance(spec.optimizer, Retrospective) or spec.weights.reach is not None
    if anew or isinstance(spec.function, FeatureModel):
        yield Past(spec)
