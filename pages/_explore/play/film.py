"""What the browser needs to play a picture: every step, in one bounded message of plain JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MOST_LAYERS, MOST_TOKENS = 8, 256
"""The most layers of a film, and the most tokens of a map: 8 maps of 256 tokens are 360 kB."""
DIGITS = 4
OUTLIER, DECADES = 100.0, 3.0
"""An error of more than so many times the median lies above the axis, which begins so many powers
of ten below it."""


@dataclass(frozen=True)
class Layer:
    """What is played of one layer.

    Args:
        name: shown beside its line.
        error: mean squared error at every step.
        spread: its standard error at every step.
        map: of `packed`; None where there is none.
    """

    name: str
    error: Sequence[float]
    spread: Sequence[float]
    map: Mapping[str, Any] | None


@dataclass(frozen=True)
class Film:
    """What is played.

    Args:
        layers: the layer on show, then those that are pinned.
        baselines: what needs no layer, at every step, by name.
        switch: the first step whose answer follows the second rule, or None.
        alt: what the pictures ``curves`` and ``map`` show, for those who do not see them.
        words: what the tokens are called, where they have names.
    """

    layers: tuple[Layer, ...]
    baselines: Mapping[str, Sequence[float]]
    switch: int | None
    alt: Mapping[str, str]
    words: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON holds it: no more than the limits, and null for what is no number."""
        steps = len(self.layers[0].error)
        low, high = ends_of_axis(self.layers[0].error, *(one.error for one in self.layers[1:]),
                         *self.baselines.values())  # fmt: skip
        return {
            "layers": [
                {"name": one.name, "values": _written(one.error), "spread": _written(one.spread),
                 "map": one.map and dict(one.map)}
                for one in self.layers[:MOST_LAYERS]
            ],
            "baselines": {name: _written(values) for name, values in self.baselines.items()},
            "steps": steps, "last": steps - 1, "switch": self.switch,
            "low": low, "high": high, "title": "squared error", "alt": dict(self.alt),
            "words": list(self.words),
        }  # fmt: skip


def packed(weights: Tensor) -> dict[str, Any]:
    """Returns the past of a map [T, T] in a byte per weight, and what 127 stands for in each row.

    A scale for each row keeps each weight within 0.4 % of its row's largest; one scale for the
    whole map would round the late rows of an even average to nothing. -128 is what is no number.
    """
    shown = weights.detach().float()[:MOST_TOKENS, :MOST_TOKENS].tril()
    clean = shown.nan_to_num(0.0, 0.0, 0.0)
    scale = clean.abs().amax(1, keepdim=True).clamp(min=1e-12)
    small = (clean / scale * 127).round().masked_fill(~shown.isfinite(), -128)
    past = shown.new_ones(shown.shape).tril().bool()
    return {
        "tokens": len(shown),
        "weights": _base64(small[past].char()),
        "scale": _base64(scale[:, 0]),
    }


def ends_of_axis(*curves: Iterable[float]) -> tuple[float, float]:
    """Returns both ends of a logarithmic axis, which neither a zero nor an outlier stretches."""
    values = sorted(e for curve in curves for e in curve if math.isfinite(e) and e > 0)
    if not values:
        return 0.1, 1.0
    middle = values[len(values) // 2]
    high = max(e for e in values if e <= middle * OUTLIER)
    low = min(e for e in values if e >= middle / 10**DECADES)
    return (low, high) if low < high else (low / 2, high * 2)


def _written(values: Iterable[float]) -> list[float | None]:
    return [float(f"{e:.{DIGITS}g}") if math.isfinite(e) else None for e in values]


def _base64(tensor: Tensor) -> str:
    return base64.b64encode(tensor.contiguous().numpy().tobytes()).decode()
