"""Steps on the newest pairs at once: the Omega rule of OmegaNet and Atlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals, part, whole
from ...stream import Signal
from ..fates import Fate
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Story, signal
from ..terms import Numeral, Term, newest
from .base import faded
from .chunked import CHUNK_STEP, RATE, SIZE, ChunkStart, SummedSteps, counter
from .segments import Course, Mix, Segment

WINDOW = "newest pairs that each step takes the gradients of"


class Windowed(ChunkStart):
    r"""Trait: each step takes the gradients of the newest c pairs, of every one anew.

    $$G_t = \sum_{i = t - c + 1}^{t} b_i \nabla \ell_i(m_\tau)$$

    A pair is learned c times, with each of those that follow it: what is kept fits a stretch of
    the past together, not its last token.
    """

    phrase: ClassVar[str] = "an optimizer that steps on the newest pairs at once"
    writes: ClassVar[Fate] = Fate.ALONG_KEYS
    window: int

    def gradient(self, at: Memory, loss: PairLoss) -> Memory:
        """Returns the sum of the gradients of the window, at a memory."""

        def within(memory: Memory) -> Tensor:
            each = [loss(memory, None, None, back) for back in range(self.window)]
            return torch.stack(each).sum()

        gradient: Memory = torch.func.grad(within)(at)
        return gradient

    def summed(self, segment: Segment) -> Tensor:
        """Returns which gradients each step takes, [C, earlier + C]: rows are steps."""
        tokens = segment.scores.shape[-1]
        step = torch.arange(tokens, device=segment.scores.device)[:, None] + segment.earlier
        pair = torch.arange(tokens + segment.earlier, device=segment.scores.device)
        inside = (pair <= step) & (pair > step - self.window)
        return inside.to(segment.scores)

    def written_gradient(self, on: Letters, at: Term) -> Term:
        """Returns the sum in formulas."""
        return newest(on.weights.brought("i") * on.slope(at, "i"), self.window)


@dataclass(frozen=True)
class Omega(Windowed, SummedSteps):
    r"""A gradient step on the newest c pairs at once: the Omega rule of OmegaNet.

    $$m_t = a_t m_{t-1} - \rho \beta_t \sum_{i = t - c + 1}^{t} b_i \nabla \ell_i(m_\tau), \qquad
    \tau = b \lfloor (t-1)/b \rfloor$$

    Between the newest pair and the whole past: at c = 1 it is `ChunkSGD`, and Titans without its
    momentum. The pairs of the window are kept, for each is asked anew. Signal ``step``:
    $\beta_t$; the weight $b_i$ of a pair is its `Importance`.

    Args:
        window: c, the newest pairs of a step.
        size: b, tokens per chunk.
        rate: rho, the largest step, as for `ChunkSGD`.

    Reference: Atlas: Learning to Optimally Memorize the Context at Test Time (Behrouz et al.,
    2025) https://arxiv.org/abs/2505.23735

    Deviation: the paper's loss is twice this one, so that its step is half of beta.
    """

    window: int = option(8, WINDOW, low=1, high=1024)
    size: int = option(16, SIZE, low=1, high=4096)
    rate: float = option(0.01, RATE, low=1e-6, high=1e6)
    horizon: ClassVar[int | None] = 4096
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP,)

    def begin(self, memory: Memory) -> Carried:
        return whole(at=memory) | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return faded(memory, decay), state

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient = self.gradient(part(state, "at"), loss)
        step = self.rate * signals["step"]
        after = {n: memory[n] - step * gradient[n] for n in memory}
        return after, self.advanced(state, after)

    def plan(self, segment: Segment) -> Course:
        start, decays = segment.decays()
        steps = decays * (self.rate * segment.signals["step"].mT)
        read = Mix(start, None, steps @ self.summed(segment))
        return Course(read, read.last(), None)

    def story(self, on: Letters) -> Story:
        rate = Numeral(self.rate) * signal(r"\beta_t", "step")
        return on.descended(rate, self.written_gradient(on, self.chunk_start(on)))
