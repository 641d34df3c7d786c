"""Small valid inputs for any spec, drawn from its own signals."""

from __future__ import annotations

import heapq
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import cache
from itertools import combinations

import pytest
import torch

import ttr_core as ttr
from ttr_core import Spec, Stream, solvers
from ttr_core.solvers import SOLVERS
from ttr_core.space.functions import Network
from ttr_core.space.optimizers import ChunkStart
from ttr_core.space.spec import triples
from ttr_core.stream import LINKS

RTOL32 = 1e-4
"""Relative accuracy that every solver promises in float32."""

LAYERS = [spec for spec in triples() if not spec.objections()]
UNDEFINED = [spec for spec in triples() if spec.objections()]
TESTED = list(dict.fromkeys([*LAYERS, *(entry.spec for entry in ttr.catalog.values())]))
"""Every layer of the grid, and every published one that is no cell of it."""


PUBLISHED = {entry.spec for entry in ttr.catalog.values()}


@cache
def accepting(spec: Spec) -> tuple[str, ...]:
    """Returns the solvers, other than the oracle, that accept a spec."""
    return tuple(solver.name for solver in SOLVERS[:-1] if solver.refusal(spec) is None)


def _slow(spec: Spec) -> bool:
    """Whether gradients are automatic."""
    return isinstance(spec.function, Network) or isinstance(spec.optimizer, ChunkStart)


def _met(spec: Spec) -> set[tuple[object, ...]]:
    """Every solver, every choice and every pair of axes; of slow layers what is fitted and how."""
    named = enumerate((spec.weights, spec.function, spec.optimizer, spec.loss, spec.readout))
    axes = [(axis, str(choice)) for axis, choice in named]
    pairs = combinations(axes[1:3] if _slow(spec) else axes[:3], 2)
    return {*(("solver", name) for name in accepting(spec)), *axes, *pairs}


@cache
def covering() -> frozenset[Spec]:
    """Returns what is published and the fewest others, chosen greedily, that meet all the rest."""
    return frozenset(_chosen({spec: _met(spec) for spec in TESTED}, PUBLISHED))


def _chosen(have: dict[Spec, set[tuple[object, ...]]], first: Collection[Spec]) -> set[Spec]:
    """Returns the first and the fewest others, chosen greedily, that meet whatever any meets.

    Of those that meet as much, the first one that is not slow is taken. What a spec adds only
    shrinks, so that nothing else is counted anew than who was ahead when it was counted last.
    """
    number = {kind: i for i, kind in enumerate(set().union(*have.values()))}
    bits = {spec: sum(1 << number[kind] for kind in kinds) for spec, kinds in have.items()}
    chosen, missing = set(first), (1 << len(number)) - 1
    for spec in first:
        missing &= ~bits[spec]
    ahead = [
        (-(bits[spec] & missing).bit_count(), _slow(spec), place, spec)
        for place, spec in enumerate(have)
    ]
    heapq.heapify(ahead)
    while missing:
        best = ahead[0]
        spec, adds = best[-1], (bits[best[-1]] & missing).bit_count()
        if adds == -best[0]:
            chosen.add(spec)
            missing &= ~bits[spec]
        heapq.heapreplace(ahead, (-(bits[spec] & missing).bit_count(), *best[1:]))
    return chosen


def by_default(spec: Spec) -> bool:
    """Whether a layer is tested without --full-grid: what `covering` chooses."""
    return spec in covering()


@cache
def fewest(specs: tuple[Spec, ...]) -> frozenset[Spec]:
    """Returns the fewest, chosen greedily, that meet every solver and choice that these meet."""
    have = {}
    for spec in specs:
        axes = enumerate((spec.weights, spec.function, spec.optimizer, spec.loss, spec.readout))
        solvers = {("solver", name) for name in accepting(spec)}
        solvers.add(("fastest", ttr.resolve(spec).name))
        have[spec] = solvers | {(axis, str(choice)) for axis, choice in axes}
    return frozenset(_chosen(have, ()))


def thinned(specs: Iterable[Spec]) -> list:
    """Returns them as parameters: what is not of the `fewest` belongs to the full grid."""
    every = tuple(specs)
    few = fewest(every)
    rest = pytest.mark.full_grid
    return [pytest.param(s, id=str(s), marks=() if s in few else rest) for s in every]


def framed() -> list:
    """Returns every entry in its own frame, and in the standard one: there the rest of every four
    belongs to the full grid."""
    return [
        pytest.param(entry.spec, frame, id=f"{name} {where}", marks=marks)
        for i, (name, entry) in enumerate(ttr.catalog.items())
        for where, frame, marks in (
            ("published", entry.frame, ()),
            ("standard", ttr.FRAMES["standard"], pytest.mark.full_grid if i % 4 else ()),
        )
    ]


def by_weights(cases: Iterable, spec_of: Callable[..., Spec] = lambda case: case) -> list:
    """Returns all cases whose weights are the same as one parameter, named after these."""
    groups = defaultdict(list)
    for case in cases:
        groups[str(spec_of(case).weights)].append(case)
    return [pytest.param(group, id=weights) for weights, group in groups.items()]


def all_pass(cases: Collection, check: Callable[..., None]) -> None:
    """Runs a check on every case, and fails with all that fail, each by its name."""
    wrong = []
    for case in cases:
        try:
            check(case)
        except Exception as error:
            name = " by ".join(map(str, case)) if isinstance(case, tuple) else str(case)
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    assert cases and not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


def shorten_chunks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Makes chunks short, so that few tokens reach over several of them."""
    for module in pkgutil.iter_modules(solvers.__path__):
        for name in ("CHUNK", "BLOCK"):
            if hasattr(getattr(solvers, module.name), name):
                monkeypatch.setattr(f"ttr_core.solvers.{module.name}.{name}", size)


def stream(
    spec: Spec,
    length: int = 7,
    seed: int = 0,
    heads: int = 2,
    key_dim: int = 3,
    value_dim: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> Stream:
    """Generic queries, keys, values and signals, [1, H, T, .]."""
    if value_dim is None:
        value_dim = key_dim if spec.function.square else 2
    generator = torch.Generator().manual_seed(seed)

    def draw(width: int) -> torch.Tensor:
        return torch.randn(1, heads, length, width, generator=generator, dtype=torch.float64)

    q, k, v = draw(key_dim), draw(key_dim) * 0.7, draw(value_dim)
    signals = {}
    for s in spec.signals:
        raw = draw(spec.signal_width(s, key_dim, value_dim))
        if s.link == "twice_sigmoid":
            raw = raw - 2  # on keys of any size a step near 2 makes the layer itself blow up
        if isinstance(spec.function, Network):
            # So does a network at a step near 1, or where a norm divides by what is forgotten.
            raw = raw + {"step": -4, "decay": 4}.get(s.name, 0)
        signals[s.name] = LINKS[s.link](raw * 0.7 if s.free and s.unit == "key" else raw)
    return Stream(q, k, v, signals).map(lambda x: x.to(dtype))


def scaled(spec: Spec, x: Stream, own: float, further: float) -> Stream:
    """The stream with its values times one factor and the further values of signals another."""
    free = {s.name for s in spec.signals if s.free and s.unit == "value"}
    signals = {name: further * s if name in free else s for name, s in x.signals.items()}
    return Stream(x.q, x.k, own * x.v, signals)


def joined(first: Stream, second: Stream, at: int) -> Stream:
    """The first stream up to a token, the second from there on."""

    def mix(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.cat([a[:, :, :at], b[:, :, at:]], 2)

    signals = {name: mix(s, second.signals[name]) for name, s in first.signals.items()}
    return Stream(mix(first.q, second.q), mix(first.k, second.k), mix(first.v, second.v), signals)


def shard(items: list, part: int = 4) -> list:
    """Every fourth item always, by a fixed rule: the rest belongs to the full grid."""
    return [item for i, item in enumerate(items) if i % part == 0]
