"""Weights multiplied: memoryless factors stay memoryless, a kernel makes the rest kernels."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from ...errors import RequestError
from ...named import Params, part
from ...stream import Signal, Stream
from ..ingredient import Ingredient
from ..option import Written, changed
from ..terms import Term, times
from .base import MemorylessWeights, PositiveWeights, Recency, RunningWeights, Weights
from .fenwick import SpannedWeights
from .memoryless import Uniform
from .two_taps import TwiceWritten, Writes

Part = TypeVar("Part", bound=Weights)


@dataclass(frozen=True)
class Multiplied(PositiveWeights, abc.ABC):
    """Weights that are a product of others; written ``A * B``."""

    parts: tuple[PositiveWeights, ...]

    @classmethod
    def listed(cls) -> bool:
        return False

    @property
    def fades(self) -> bool:
        return any(part.fades for part in self.parts)

    def factors(self) -> tuple[Weights, ...]:
        return self.parts

    def written(self, primes: int = 0) -> Term:
        return times(*(part.written(n) for part, n in self._primed()))

    def proportional(self, primes: int = 0) -> Term:
        return times(*(part.proportional(n) for part, n in self._primed()))

    def kept(self, index: str, primes: int = 0) -> Term:
        return times(*(part.kept(index, n) for part, n in self._primed()))

    def brought(self, index: str, primes: int = 0) -> Term:
        return times(*(part.brought(index, n) for part, n in self._primed()))

    def elapsed(self, primes: int = 0) -> Term:
        return times(*(part.elapsed(n) for part, n in self._primed()))

    def _primed(self) -> list[tuple[PositiveWeights, int]]:
        """Returns the factors, each with how many of its kind stand before it."""
        kinds = [part.signals[0].name if part.signals else type(part) for part in self.parts]
        return [(part, kinds[:i].count(kinds[i])) for i, part in enumerate(self.parts)]

    @property
    def signals(self) -> tuple[Signal, ...]:
        return tuple(
            replace(signal, name=name)
            for part, names in zip(self.parts, _names(self.parts), strict=True)
            for signal, name in zip(part.signals, names, strict=True)
        )

    @property
    def spans(self) -> bool:
        return any(part.spans for part in self.parts)

    @property
    def reads_past(self) -> bool:
        return any(part.reads_past for part in self.parts)

    @property
    def reach(self) -> int | None:
        each = [part.reach for part in self.parts]
        ends = [reach for reach in each if reach is not None]
        return min(ends) if ends else None

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        each = [part.parameters(key_dim, value_dim, heads) for part in self.parts]
        return {f"{i}.{name}": value for i, own in enumerate(each) for name, value in own.items()}

    def placed(self) -> dict[str, Ingredient]:
        return {str(i): part for i, part in enumerate(self.parts)}

    def text(self, shown: Written = changed) -> str:
        return " * ".join(part.text(shown) for part in self.parts)


@dataclass(frozen=True)
class Product(Multiplied):
    """Positive weights multiplied, at least one of them not memoryless."""

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        views = _views(self.parts, x, params)
        first, *rest = [part.log_matrix(view, own) for part, view, own in views]
        for log in rest:
            first = first + log
        return first

    def importance(self, x: Stream, params: Params) -> Tensor | None:
        views = _views(self.parts, x, params)
        each = [part.importance(view, own) for part, view, own in views]
        return multiplied([brought for brought in each if brought is not None])


@dataclass(frozen=True)
class MemorylessProduct(Multiplied, MemorylessWeights):
    """Memoryless weights multiplied, which stay memoryless."""

    def recency(self, x: Stream, params: Params) -> Recency:
        memoryless = tuple(part for part in self.parts if isinstance(part, MemorylessWeights))
        each = [part.recency(view, own) for part, view, own in _views(memoryless, x, params)]
        decays = [r.log_decay for r in each if r.log_decay is not None]
        weights = [r.importance for r in each if r.importance is not None]
        log_decay = sum(decays[1:], decays[0]) if decays else None
        return Recency(log_decay, multiplied(weights))


def multiplied(weights: list[Tensor]) -> Tensor | None:
    """Returns the product of weights; None for 1."""
    return math.prod(weights[1:], start=weights[0]) if weights else None


@dataclass(frozen=True)
class EndedProduct(Product, RunningWeights):
    """Memoryless weights within a window."""

    @property
    def inside(self) -> MemorylessWeights:
        # A product even of one, so that its signals and tensors are called as they are here.
        kept = tuple(part for part in self.parts if isinstance(part, MemorylessWeights))
        return MemorylessProduct(kept) if kept else Uniform()


@dataclass(frozen=True)
class TwiceWrittenProduct(Product, TwiceWritten):
    """Memoryless weights of pairs that the next token writes once more."""

    def taps(self, x: Stream, params: Params) -> Writes:
        views = _views(self.parts, x, params)
        each = (part.taps(view, own) for part, view, own in views if isinstance(part, TwiceWritten))
        return next(each)

    def recency(self, x: Stream, params: Params) -> Recency:
        kept = tuple(part for part in self.parts if isinstance(part, MemorylessWeights))
        return MemorylessProduct(kept).recency(x, params)


@dataclass(frozen=True)
class SpannedProduct(Product, SpannedWeights):
    """Memoryless weights of pairs whose spans the newest token weighs."""

    @property
    def count(self) -> int:
        return next(part.count for part in self.parts if isinstance(part, SpannedWeights))

    def levels_at(self, x: Stream, params: Params) -> Tensor:
        views = _views(self.parts, x, params)
        each = (p.levels_at(view, own) for p, view, own in views if isinstance(p, SpannedWeights))
        return next(each)

    def recency(self, x: Stream, params: Params) -> Recency:
        kept = tuple(part for part in self.parts if isinstance(part, MemorylessWeights))
        return MemorylessProduct(kept).recency(x, params)


LISTED_PRODUCTS: tuple[str, ...] = (
    "Gate * Importance",
    "ChannelGate * Importance",
    "Decay * ExpKernel",
    "Gate * ExpKernel",
    "Importance * ExpKernel",
    "ExpKernel * Window",
)
"""The products that the grid lists; any other can be written."""

MAX_FACTORS = 6


def product(parts: tuple[Weights, ...]) -> Weights:
    """Multiplies weights; memoryless factors first, then kernels, each by name.

    Raises:
        RequestError: a factor that is not positive, or more factors than anyone needs.
    """
    positive = [part for part in parts if isinstance(part, PositiveWeights)]
    if len(positive) < len(parts):
        odd = next(part for part in parts if not isinstance(part, PositiveWeights))
        raise RequestError(f"{odd} does not multiply: only positive weights do.")
    if len(parts) > MAX_FACTORS:
        raise RequestError(f"{len(parts)} factors of weights; write at most {MAX_FACTORS}.")
    order = sorted(positive, key=lambda p: (not isinstance(p, MemorylessWeights), str(p)))
    kept = [p for p in order if not isinstance(p, Uniform)] or order[:1]
    if len(kept) == 1:
        return kept[0]
    memoryless = [p for p in kept if isinstance(p, MemorylessWeights)]
    if len(memoryless) == len(kept):
        return MemorylessProduct(tuple(memoryless))
    others = [p for p in kept if not isinstance(p, MemorylessWeights)]
    if len(others) == 1 and isinstance(others[0], TwiceWritten):
        return TwiceWrittenProduct(tuple(kept))
    if len(others) == 1 and isinstance(others[0], SpannedWeights):
        return SpannedProduct(tuple(kept))
    running = all(isinstance(p, RunningWeights) for p in kept)
    return EndedProduct(tuple(kept)) if running else Product(tuple(kept))


def _names(parts: tuple[Weights, ...]) -> list[list[str]]:
    """Names of the factors' signals within the product: repeated ones are numbered from 1."""
    seen: dict[str, int] = {}
    names = []
    for factor in parts:
        own = []
        for signal in factor.signals:
            count = seen.get(signal.name, 0)
            seen[signal.name] = count + 1
            own.append(f"{signal.name}.{count}" if count else signal.name)
        names.append(own)
    return names


def _views(
    parts: tuple[Part, ...], x: Stream, params: Params
) -> list[tuple[Part, Stream, dict[str, Tensor]]]:
    """Each factor with the stream and parameters under the names it knows."""
    views = []
    for index, (factor, names) in enumerate(zip(parts, _names(parts), strict=True)):
        pairs = zip(factor.signals, names, strict=True)
        own_signals = {signal.name: x.signals[name] for signal, name in pairs}
        views.append((factor, replace(x, signals=own_signals), part(params, str(index))))
    return views
