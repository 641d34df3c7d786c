"""Sharpness: how sharp a comparison of queries with keys must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from ..tasks.base import generator
from ..tasks.constants import Constants, Knob, knobs
from .asking import Questions
from .base import Curves, Probe
from .capacity import Capacity
from .measured import Measured, resampled

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
LEVEL = 0.9


@dataclass(frozen=True)
class Sharpness(Probe):
    """The smallest scale at which K pairs are held: a cell that needs more starts blind.

    Pairs as under `capacity`, asked in their second half; all other constants are those
    tuned beside the best scale. A cell that compares by no scale needs 0.

    Example:
        | scale    | 0.25 | 0.5  | 1    | 2    | 4    | 8    |
        |----------|------|------|------|------|------|------|
        | right    | 11 % | 14 % | 24 % | 54 % | 93 % | 100 %|
        | needed   |      |      |      |      | here |      |

    Example:
        >>> import ttr_core as ttr
        >>> found = Sharpness(sequences=4).evaluate(ttr.Spec.parse("ExpKernel | Constant | Exact"))
        >>> 1 < found.metrics["sharpness_needed"] < 32
        True
    """

    name: ClassVar[str] = "sharpness"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "sharpness_needed", "lower", 0.0,
            help="Scale at which 90 % of as many pairs as a key has entries are right.",
        ),
    )  # fmt: skip

    seq_len: int = option(16, "Pairs; the questions of the second half count.", low=8, high=4096)

    def _pairs(self) -> Capacity:
        return Capacity(dim=self.dim, seq_len=self.seq_len, sequences=self.sequences)

    def _late(self) -> Tensor:
        return (torch.arange(self.seq_len) >= self.seq_len // 2).float()

    def _questions(self, seed: int, split: str) -> Questions:
        source = generator(seed, split)
        return self._pairs().questions(self.dim, self.seq_len, self.sequences, source)

    def loss(self, seed: int, device: str) -> Callable[[Constants], float]:
        held_out, late = self._questions(seed, "validation"), self._late()
        return lambda constants: held_out.missed(constants, late, device)

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        knob, asked, late = _scale(spec), self._questions(seed, "test"), self._late().bool()
        if knob is None:
            return {"sharpness_needed": Measured.exact(0.0)}, {"right": [0.0]}
        shares = []
        for scale in SCALES:
            chosen, _ = asked.chosen(knob.turned(constants, scale), device)
            shares.append((chosen == asked.labels)[:, late].double().mean(1))
        each = torch.stack(shares, -1)
        return {"sharpness_needed": resampled(each, _needed, SCALES[-1])}, {
            "right": each.mean(0).tolist()
        }


def _scale(spec: Spec) -> Knob | None:
    """Returns the first scale of a cell that tuning turns."""
    return next((k for k in knobs(spec) if k.axis != "signal" and k.name == "scale"), None)


def _needed(means: Tensor) -> Tensor:
    """Returns the first scale at which a share reaches the level, between scales by its line."""
    logs = torch.tensor([math.log2(scale) for scale in SCALES], dtype=torch.float64)
    reached = means >= LEVEL
    first = torch.where(reached.any(-1), reached.long().argmax(-1), len(SCALES) - 1)
    before = (first - 1).clamp(min=0)
    high, low = means.gather(1, first[:, None])[:, 0], means.gather(1, before[:, None])[:, 0]
    part = ((LEVEL - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    return torch.exp2(logs[before] + part * (logs[first] - logs[before]))
