"""Several gradient steps per token, each on a pair of its own: DeltaProduct."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...stream import Signal, Stream
from ..functions import Memory
from ..ingredient import option
from ..newton import PairLoss
from .base import Incremental, Signals, State, faded
from .rank_one import STEP

LARGEST = {"twice_sigmoid": 2.0, "sigmoid": 1.0}
EXTRA_KEYS = Signal("extra_keys", "key", "identity", 0.0, -1.0, 1.0, "keys of the further steps")
EXTRA_VALUES = Signal(
    "extra_values", "value", "identity", 0.0, -1.0, 1.0, "values of the further steps"
)


@dataclass(frozen=True)
class MultiStep(Incremental):
    r"""Several gradient steps per token, each on a pair of its own: DeltaProduct.

    $$S_{t,0} = a_t S_{t-1}, \qquad S_{t,j} = S_{t,j-1} + \beta_{t,j} b_t\, \phi(k_{t,j})
    \big(v_{t,j} - S_{t,j-1}^\top \phi(k_{t,j})\big)^\top, \qquad S_t = S_{t,n}$$

    The memory fades once, before the first step; that step is on the stream's own key and value. A
    step of 2 on a unit key reflects the memory, so that n of them turn it by any product of n
    reflections: what tracking a state takes. One step bounded by 1 is `SGD`. Signals: ``step``
    ($\beta_{t,j}$, n numbers), ``extra_keys`` and ``extra_values`` (n - 1 of each).

    Args:
        n: steps per token.
        link: what bounds each step: ``twice_sigmoid`` by 2, ``sigmoid`` by 1, without reflections.

    Reference: DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products
    (Siems et al., 2025) https://arxiv.org/abs/2502.10297
    """

    n: int = option(2, "steps per token, each with a key and a value of its own", low=1, high=8)
    link: str = option("twice_sigmoid", "what bounds each step", choices=tuple(LARGEST))
    notation: ClassVar[str] = (
        r"S_t = S_{t,n},\qquad S_{t,j} = S_{t,j-1} + \beta_{t,j} b_t \phi(k_{t,j}) "
        r"(v_{t,j} - S_{t,j-1}^\top \phi(k_{t,j}))^\top,\qquad S_{t,0} = a_t S_{t-1}"
    )

    @property
    def signals(self) -> tuple[Signal, ...]:
        step = replace(STEP, link=self.link, high=LARGEST[self.link])
        if self.n == 1:
            return (step,)
        steps = replace(step, width=f"{self.n}*scalar")
        keys, values = (replace(s, width=f"{self.n - 1}*{s.unit}") for s in EXTRA)
        return (steps, keys, values)

    def begin(self, memory: Memory) -> State:
        return {}

    def forget(self, memory: Memory, state: State, decay: Tensor) -> tuple[Memory, State]:
        return faded(memory, decay), state

    def update(
        self, memory: Memory, state: State, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, State]:
        pairs: list[tuple[Tensor, ...]] = [()]
        if self.n > 1:
            extra = (signals[s.name].unflatten(-1, (self.n - 1, -1)) for s in EXTRA)
            pairs += zip(*extra, strict=True)
        for j, pair in enumerate(pairs):
            slope = torch.func.grad(loss)(memory, *pair)
            memory = {n: m - signals["step"][j] * slope[n] for n, m in memory.items()}
        return memory, state

    def interleaved(self, x: Stream) -> Stream:
        """Returns the steps as tokens, n T of them: keys, values and step; queries as they are."""
        signals = {"step": x.signals["step"].unflatten(-1, (self.n, 1)).flatten(2, 3)}
        if self.n == 1:
            return replace(x, signals=signals)
        keys, values = (
            torch.cat([own, x.signals[s.name]], -1).unflatten(-1, (self.n, -1)).flatten(2, 3)
            for own, s in zip((x.k, x.v), EXTRA, strict=True)
        )
        return Stream(x.q, keys, values, signals)


EXTRA = (EXTRA_KEYS, EXTRA_VALUES)
