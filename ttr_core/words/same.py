"""Which listed layers a spec equals: looked up where it was computed before, else computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import torch

from ..solvers import solve
from ..space.spec import AXES, Spec, listed, triples
from ..stream import LINKS, Stream
from .equal_cells import COVERED, FIRST, OFF_GRID

TOLERANCE = 1e-9
"""Relative difference up to which two outputs are the same."""

Signature = tuple[tuple[str, ...], int | None, bool]

LEARNED = 0.1
"""How far what is learned has moved from its start where two layers are compared."""


def same_as(spec: Spec) -> tuple[str, ...]:
    """Returns the listed points whose outputs and signals are those of ``spec``.

    Of the grid's cells and the published layers it is known, and the tests compute it again. For
    any other spec, and for choices that are new since, both run on one generic sequence in float64.

    Args:
        spec: a layer.
    """
    text = str(spec)
    if recorded(text):
        known = _groups().get(FIRST.get(text, text), ())
        return (*(t for t in known if t != text), *equal(spec, fresh(kind(spec))))
    return equal(spec, layers(kind(spec)))


def recorded(text: str) -> bool:
    """Whether it is written down which cells a layer equals.

    Args:
        text: its canonical text.
    """
    parts = text.split(" | ")
    on_grid = len(parts) == len(AXES) and all(
        part in COVERED[axis] for axis, part in zip(AXES, parts, strict=True)
    )
    return on_grid or text in OFF_GRID


@lru_cache(maxsize=1)
def _groups() -> dict[str, tuple[str, ...]]:
    """The first of the cells that equal one another -> all of them, in the order of the grid."""
    found: dict[str, list[str]] = {}
    for text, first in FIRST.items():
        if text not in OFF_GRID:
            found.setdefault(first, [first]).append(text)
    return {first: tuple(texts) for first, texts in found.items()}


def kind(spec: Spec) -> Signature:
    """Returns what layers must share to be compared: signals, reach of the weights, sizes.

    The sequence is too short to show a window, and its sizes are those of the function class.

    Args:
        spec: a layer.
    """
    signals = sorted(f"{s.name}:{s.width}:{s.link}" for s in spec.signals)
    return tuple(signals), spec.weights.reach, spec.function.square


@lru_cache(maxsize=1)
def kinds() -> dict[Signature, tuple[Spec, ...]]:
    """Returns every listed layer, by its kind."""
    found: dict[Signature, list[Spec]] = {}
    for spec in triples():
        if not spec.objections():
            found.setdefault(kind(spec), []).append(spec)
    return {key: tuple(specs) for key, specs in found.items()}


def layers(kind: Signature) -> tuple[Spec, ...]:
    """Returns the listed layers of a kind."""
    return kinds().get(kind, ())


@lru_cache(maxsize=256)
def fresh(kind: Signature) -> tuple[Spec, ...]:
    """Returns the listed layers of a kind of which nothing is written down: their choices are new.

    Args:
        kind: of layers.
    """
    if all(str(part) in COVERED[axis] for axis in AXES for part in listed(axis)):
        return ()
    return tuple(spec for spec in layers(kind) if not recorded(str(spec)))


def equal(spec: Spec, others: Sequence[Spec]) -> tuple[str, ...]:
    """Returns the texts of those among some layers that give what a layer gives, without itself.

    Args:
        spec: a layer.
        others: layers of its kind.
    """
    others = tuple(others)
    if not others:
        return ()
    mine, theirs = _output(spec).flatten(), _outputs(others)
    alike = ((theirs - mine).abs() <= TOLERANCE * (1 + mine.abs())).all(-1).tolist()
    return tuple(str(o) for o, same in zip(others, alike, strict=True) if same and o != spec)


def groups(specs: Iterable[Spec]) -> list[tuple[str, ...]]:
    """Returns the layers that equal others of them, together; each is computed.

    Args:
        specs: layers of one kind.
    """
    specs, found = tuple(specs), dict[str, tuple[str, ...]]()
    for spec in specs:
        if str(spec) not in found and (twins := equal(spec, specs)):
            found |= dict.fromkeys((str(spec), *twins), (str(spec), *twins))
    return list(dict.fromkeys(found.values()))


@lru_cache(maxsize=64)
def _outputs(specs: tuple[Spec, ...]) -> torch.Tensor:
    """The outputs of several layers, a row each."""
    return torch.stack([_output(spec).flatten() for spec in specs])


@lru_cache(maxsize=4096)
def _output(spec: Spec) -> torch.Tensor:
    """The layer's output on one generic sequence, its signals drawn by their names."""
    return generic_output(
        spec, {signal.name: sum(map(ord, signal.name)) for signal in spec.signals}
    )


@torch.no_grad()  # what would be kept for a backward pass costs time
def generic_output(spec: Spec, seeds: Mapping[str, int], unit: bool = False) -> torch.Tensor:
    """Returns the output of a layer on one generic sequence, in float64.

    What is learned is not as it starts: a layer whose decay is learned is none whose decay stands.

    Args:
        spec: a layer.
        seeds: of each of its signals.
        unit: whether queries and keys have norm 1.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(width: int) -> torch.Tensor:
        return torch.randn(1, 1, 11, width, generator=generator, dtype=torch.float64)

    size = 3 if spec.function.square else 2
    q, k, v = draw(3), draw(3), draw(size)
    q[:, :, -1] *= 3  # one so long that no divisor stays at its floor
    if unit:
        q, k = (torch.nn.functional.normalize(x + 1, dim=-1) for x in (q, k))  # sums grow, too
    signals = {}
    for signal in spec.signals:
        generator.manual_seed(seeds[signal.name])
        signals[signal.name] = LINKS[signal.link](draw(spec.signal_width(signal, 3, size)))
    own = spec.parameters(3, size, 1)
    for name, tensor in own.items():
        generator.manual_seed(sum(map(ord, name)))
        drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        own[name] = tensor.double() + LEARNED * drawn if tensor.requires_grad else tensor
    return solve(spec, Stream(q, k, v, signals), own)
