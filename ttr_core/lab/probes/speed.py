"""Speed: processor time per token of the fastest solver."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...solvers import solve
from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from ..tasks.base import generator
from ..tasks.constants import Constants
from .asking import units
from .base import Curves, Probe
from .measured import Measured

REPEATS, ENOUGH = 5, 0.5  # seconds after which no repeat begins


@dataclass(frozen=True)
class Speed(Probe):
    """Microseconds of one processor per token and head, forward, by the fastest solver.

    The least of up to five repeats in processor time; its interval goes up to their median. It is
    of the machine that measured it: cells are compared within one atlas.

    Example:
        | repeat        | 1    | 2    | 3    | 4    | 5    |
        |---------------|------|------|------|------|------|
        | microseconds  | 12.1 | 11.8 | 11.9 | 14.0 | 11.9 |

    Example:
        >>> import ttr_core as ttr
        >>> found = Speed(seq_len=32).evaluate(ttr.Spec.parse("Uniform | Linear | Hebbian"))
        >>> found.metrics["microseconds"] > 0
        True
    """

    name: ClassVar[str] = "speed"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("microseconds", "lower", 0.0, None, "µs", "Processor time per token and head."),
    )

    dim: int = option(64, "Size of keys and values.", low=2, high=256)
    seq_len: int = option(256, "Length of a sequence in tokens.", low=8, high=4096)
    sequences: int = option(2, "Sequences that are solved at once.", low=2, high=1024)

    @torch.no_grad()
    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        source = generator(seed, "test")
        shape = (3, self.sequences, 1, self.seq_len, self.dim)
        x = constants.stream(*units(shape, source).to(device).unbind(0))
        params = spec.parameters(self.dim, self.dim, 1)
        taken: list[float] = []
        began = time.thread_time()
        while len(taken) < REPEATS + 1 and (len(taken) < 2 or time.thread_time() - began < ENOUGH):
            before = time.thread_time()
            solve(constants.spec, x, params)
            taken.append(time.thread_time() - before)
        tokens = self.sequences * self.seq_len
        each = [1e6 * seconds / tokens for seconds in taken[1:]]  # the first warms up
        least, middle = min(each), statistics.median(each)
        return {"microseconds": Measured(least, least, middle, len(each))}, {"microseconds": each}
