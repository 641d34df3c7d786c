"""Several gradient steps per token, each on a pair of its own: DeltaProduct."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Signal, Stream
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Criterion, Story, signal
from ..terms import Letter, Repeat, Slope, outer
from .rank_one import LARGEST, STEP, bounded
from .structure import Features, RankOneSteps, Steps

FURTHER = 0.02  # where the further steps start: on keys of which nothing is known yet
EXTRA_KEYS = Signal("extra_keys", "key", "identity", 0.0, -1.0, 1.0, "keys of the further steps")
EXTRA_VALUES = Signal(
    "extra_values", "value", "identity", 0.0, -1.0, 1.0, "values of the further steps"
)


@dataclass(frozen=True)
class MultiStep(RankOneSteps):
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

    by_gradients: ClassVar[bool] = True

    revision: ClassVar[int] = 2

    n: int = option(2, "steps per token, each with a key and a value of its own", low=1, high=8)
    link: str = option("twice_sigmoid", "what bounds each step", choices=tuple(LARGEST))

    @property
    def signals(self) -> tuple[Signal, ...]:
        step = bounded(STEP, self.link)
        if self.n == 1:
            return (step,)
        steps = replace(step, width=f"{self.n}*scalar", further=FURTHER)
        keys, values = (replace(s, width=f"{self.n - 1}*{s.unit}") for s in EXTRA)
        return (steps, keys, values)

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        pairs: list[tuple[Tensor | None, Tensor | None]] = [(None, None)]
        if self.n > 1:
            extra = (signals[s.name].unflatten(-1, (self.n - 1, -1)) for s in EXTRA)
            pairs += zip(*extra, strict=True)
        for j, (key, value) in enumerate(pairs):
            slope = torch.func.grad(loss)(memory, key, value)
            memory = {n: m - signals["step"][j] * slope[n] for n, m in memory.items()}
        return memory, state

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        gain, keys, values = x.signals["step"], x.k, x.v
        if importance is not None:
            gain = gain * importance
        if self.n > 1:
            keys = torch.cat([keys, x.signals[EXTRA_KEYS.name]], -1)
            values = torch.cat([values, x.signals[EXTRA_VALUES.name]], -1)
        key = phi(self._in_a_row(keys))
        return Steps(key, self._in_a_row(gain) * key, self._in_a_row(values))

    def _in_a_row(self, x: Tensor) -> Tensor:
        """Returns the parts of every token one after another, [B, H, T, n D] -> [B, H, n T, D]."""
        parts: Tensor = x.unflatten(-1, (self.n, -1)).flatten(2, 3)
        return parts

    def story(self, on: Letters) -> Story:
        letter = on.function.letter
        last = Letter("last", f"{letter}_{{t,j-1}}")
        key = Letter("keys", "k_{t,j}", ("t", "j"))
        value = Letter("values", "v_{t,j}", ("t", "j"))
        rate = signal(r"\beta_{t,j}", "step", "j") * on.brought
        said = on.function.written_answer(on.free, key)
        loss = on.named_loss(on.loss.written(said, value, "t"), r"\ell_{t,j}")
        slope = Slope(loss, last, on.free.name)
        step = last - rate * slope
        if on.explicit:
            phi = on.function.written_features(key)
            step = last + rate * outer(phi, value - on.function.answer_features(last, phi))
        near = on.near(last, rate, slope)
        steps = Repeat(letter + "_{{t,{0}}}", "last", on.decayed_before, step, self.n)
        return on.running(Criterion(near, on.free, repeats=self.n), steps)


EXTRA = (EXTRA_KEYS, EXTRA_VALUES)
