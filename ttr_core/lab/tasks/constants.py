"""Constants in place of a layer's projections: knobs of a spec, and their tuning.

A task without training gives every signal (decay, step, ...) one value for all tokens. Tuning
tries, one knob after the other, a small grid for each, on sequences that are not evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...errors import Singular
from ...space.functions.base import ConstantModel
from ...space.ingredient import Ingredient
from ...space.spec import Spec
from ...space.weights import Weights, product
from ...stream import Signal, Stream
from .base import quiet

DECAYS = (-2.0, -0.7, -0.2, -0.07, -0.02, -0.005, 0.0)
"""Logs of the share kept per token: half-lives of 0.3, 1, 3.5, 10, 35, 139 tokens, and none."""

STEPS = 6  # values tried of any other signal
FRESH_DECAY = -0.05  # log of the decay where nothing is said: a half-life of 14 tokens


@dataclass(frozen=True)
class Constants:
    """A spec with a value for each of its signals.

    Args:
        spec: the spec, its options set.
        signals: (name, value after the link) of each signal.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Constants
        >>> Constants.fresh(ttr.Spec.parse("Uniform | Linear | SGD")).signals
        (('step', 0.5),)
    """

    spec: Spec
    signals: tuple[tuple[str, float], ...]

    @classmethod
    def fresh(cls, spec: Spec) -> Constants:
        """Returns the values that a fresh layer starts from."""
        return cls(spec, tuple((s.name, _fresh(s)) for s in spec.signals))

    @classmethod
    def at(cls, spec: Spec, values: Sequence[float | None]) -> Constants:
        """Returns the constants at which the knobs of a spec stand at these values.

        Args:
            spec: a layer.
            values: as `positions` returns them; None leaves a knob as it is.
        """
        constants = cls.fresh(spec)
        for knob, value in zip(knobs(spec), values, strict=True):
            if value is not None:
                constants = knob.turned(constants, value)
        return constants

    def stream(self, q: Tensor, k: Tensor, v: Tensor) -> Stream:
        """Builds the stream of [B, H, T, .] tensors whose signals are these constants."""
        values = dict(self.signals)
        return Stream(
            q, k, v, {s.name: self._signal(s, values[s.name], k, v) for s in self.spec.signals}
        )

    def _signal(self, signal: Signal, value: float, k: Tensor, v: Tensor) -> Tensor:
        """A constant; a free vector (a second key or value) stands for the token's own."""
        if signal.free:
            return (k if signal.unit == "key" else v).repeat(1, 1, 1, signal.count)
        width = self.spec.signal_width(signal, k.shape[-1], v.shape[-1])
        return k.new_full((), value).expand(*k.shape[:3], width)


@dataclass(frozen=True)
class Knob:
    """Something of a spec that can be turned.

    Args:
        axis: ``signal``, or the axis whose ingredient has the option.
        part: which factor of the weights; 0 elsewhere.
        name: of the signal or the option.
        values: what tuning tries.

    Example:
        >>> Knob("signal", 0, "step", (0.1, 0.5)).key
        'signal.step'
    """

    axis: str
    part: int
    name: str
    values: tuple[float, ...]

    @property
    def key(self) -> str:
        """What tells it from the others of its spec: ``signal.step``, ``weights.1.scale``."""
        return ".".join([self.axis, *([str(self.part)] if self.part else []), self.name])

    def value(self, constants: Constants) -> float | None:
        """Returns the knob's position; None is the ingredient's own default rule."""
        if self.axis == "signal":
            return dict(constants.signals)[self.name]
        value: float | None = getattr(_parts(constants.spec, self.axis)[self.part], self.name)
        return value

    def turned(self, constants: Constants, value: float) -> Constants:
        """Returns the constants with this knob at ``value``."""
        if self.axis == "signal":
            signals = {**dict(constants.signals), self.name: value}
            return replace(constants, signals=tuple(signals.items()))
        parts = list(_parts(constants.spec, self.axis))
        changed: Any = replace(parts[self.part], **{self.name: value})
        if len(parts) > 1:
            parts[self.part] = changed
            changed = product(tuple(p for p in parts if isinstance(p, Weights)))
        return replace(constants, spec=replace(constants.spec, **{self.axis: changed}))


def knobs(spec: Spec) -> tuple[Knob, ...]:
    """Returns what can be tuned: options left at their default, then every signal.

    Args:
        spec: of a layer.

    Example:
        >>> import ttr_core as ttr
        >>> [knob.key for knob in knobs(ttr.Spec.parse("Gate | Linear | SGD"))]
        ['signal.decay', 'signal.step']
    """
    found = [
        Knob(axis, index, opt.name, opt.tune)
        for axis in ("weights", "function", "optimizer")
        for index, part in enumerate(_parts(spec, axis))
        for opt in part.options()
        if opt.tune and getattr(part, opt.name) == opt.default
        if not (
            opt.name == "ridge" and isinstance(spec.function, ConstantModel)
        )  # touches no intercept
    ]
    free = [s for s in spec.signals if s.link != "identity"]
    return (*found, *(Knob("signal", 0, s.name, _values(s)) for s in free))


def positions(constants: Constants, spec: Spec) -> tuple[float | None, ...]:
    """Returns where each knob of a spec stands; None is the ingredient's own rule.

    Args:
        constants: of the spec.
        spec: whose knobs they are.
    """
    return tuple(knob.value(constants) for knob in knobs(spec))


def tuned(
    spec: Spec,
    error: Callable[[Constants], float],
    progress: Callable[[int, int], None] = quiet,
    held: Mapping[str, float] | None = None,
) -> Constants:
    """Turns one knob after the other to its best value; two rounds where there are several.

    Args:
        spec: whose knobs are turned.
        error: what is to become small; not a number counts as infinite.
        progress: called as ``progress(done, total)`` before each try.
        held: values that knobs keep, by their keys.
    """
    best, todo = Constants.fresh(spec), knobs(spec)
    for knob in todo:
        if held and knob.key in held:
            best = knob.turned(best, held[knob.key])
    todo = tuple(knob for knob in todo if not held or knob.key not in held)
    seen: dict[Constants, float] = {}
    rounds = 1 if len(todo) < 2 else 2
    total = rounds * sum(len(knob.values) for knob in todo)

    def judged(constants: Constants) -> float:
        if constants not in seen:
            try:
                found = error(constants)
            except Singular:  # too sharp a kernel, or too small a ridge: as bad as can be
                found = math.inf
            seen[constants] = found if math.isfinite(found) else math.inf
        return seen[constants]

    done = 0
    for knob in todo * rounds:
        tries = [knob.turned(best, value) for value in knob.values]
        for one in tries:
            progress(done, total)
            judged(one)
            done += 1
        best = min([best, *tries] if judged(best) < math.inf else tries, key=judged)
    return best


def fixed(spec: Spec, values: Mapping[str, float]) -> Constants:
    """Returns the constants of a spec with the values asked for, where the spec has the knob."""
    constants = Constants.fresh(spec)
    for knob in knobs(spec):
        name = knob.name.partition(".")[0]
        if name in values:
            constants = knob.turned(constants, values[name])
    return constants


def _parts(spec: Spec, axis: str) -> tuple[Ingredient, ...]:
    part = getattr(spec, axis)
    return part.factors() if isinstance(part, Weights) else (part,)


def _fresh(signal: Signal) -> float:
    if signal.init is not None:
        return signal.init
    return FRESH_DECAY if signal.name.startswith("decay") else signal.high


def _values(signal: Signal) -> tuple[float, ...]:
    if signal.name.startswith("decay"):
        return tuple(d for d in DECAYS if signal.low <= d <= signal.high)
    if signal.low > 0:
        return tuple(torch.logspace(*_logs(signal), STEPS, dtype=torch.float64).tolist())
    return tuple(torch.linspace(signal.low, signal.high, STEPS, dtype=torch.float64).tolist())


def _logs(signal: Signal) -> tuple[float, float]:
    return math.log10(signal.low), math.log10(signal.high)
