"""Which layers are one function in a frame that all share."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from functools import lru_cache

import torch

from ..layers.frame import named_frame
from ..space.spec import Spec
from .same import generic_output

TOLERANCE = 1e-5
"""Relative difference up to which two outputs are the same: above what keeps a step finite where a
key vanishes (1e-6), which no key of norm 1 meets."""

_Kind = tuple[tuple[tuple[str, str], ...], int | None, bool]


def one_function(specs: Iterable[Spec | str], frame: str = "standard") -> dict[str, str]:
    """Returns each layer -> the first of them that is the same function in a frame.

    The frame projects every signal from the same inputs, whatever it is called, and its keys may
    have norm 1. So there more layers are one than in themselves: a step of the size that fits the
    pair is a step of size 1, and an importance is a step. Their gates may start elsewhere.

    Outputs are compared on one generic sequence, in float64.

    Args:
        specs: layers, or their texts.
        frame: the name of one that layers share.

    Example:
        >>> found = one_function(["Uniform | Linear | SGD", "Importance | Linear | NLMS"])
        >>> found["Importance | Linear | NLMS"]
        'Uniform | Linear | SGD'
    """
    unit = named_frame(frame).qk_norm == "l2"
    firsts: dict[_Kind, list[tuple[str, torch.Tensor]]] = {}
    found: dict[str, str] = {}
    for spec in map(Spec.of, specs):
        mine = _framed(spec, unit)
        rivals = firsts.setdefault(_kind(spec), [])
        text = str(spec)
        found[text] = next((name for name, theirs in rivals if _equal(mine, theirs)), text)
        if found[text] == text:
            rivals.append((text, mine))
    return found


def _kind(spec: Spec) -> _Kind:
    """Returns what layers must share to be compared: shapes of signals, reach of weights, sizes."""
    shapes = sorted((str(signal.width), str(signal.link)) for signal in spec.signals)
    return tuple(shapes), spec.weights.reach, spec.function.square


def _equal(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    close = (mine - theirs).abs() <= TOLERANCE * (1 + mine.abs())
    return bool(close.all())


@lru_cache(maxsize=4096)
def _framed(spec: Spec, unit: bool) -> torch.Tensor:
    """The output, with signals drawn by their shape and their place among those of that shape."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    seeds: dict[str, int] = {}
    for signal in sorted(spec.signals, key=lambda signal: signal.name):
        shape = (str(signal.width), str(signal.link))
        seeds[signal.name] = sum(map(ord, "".join(shape))) + 10_007 * counts[shape]
        counts[shape] += 1
    return generic_output(spec, seeds, unit).flatten()
