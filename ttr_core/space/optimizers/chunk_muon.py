"""Orthogonal steps on the momentum of the newest pairs: Atlas."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals, part, whole
from ...stream import Signal
from ..fates import Fate
from ..functions import KernelModel, Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Criterion, Equation, Story, before, nothing, now, signal
from ..terms import PRODUCT, Form, Numeral, Value, each
from .base import faded
from .chunked import CHUNK_STEP, RATE, SIZE, counter
from .momentum import MOMENTUM
from .omega import WINDOW, Windowed
from .orthogonal import QUINTIC, orthogonal
from .segments import Mix, Segment

if TYPE_CHECKING:
    from ..spec import Spec


STEPPED = signal(r"\beta_t", "step")


class OrthogonalSteps(Windowed):
    r"""Trait: the memory moves by what a sum of gradients is made into, token by token.

    $$Z_t = f_t Z_0 + \sum_{i \le t} G_{ti} \nabla_i, \qquad
    m_t = b_t m_0 - \sum_{s \le t} P_{ts}\, \mathrm{move}(Z_s)$$

    A move is no sum of gradients, so that each token's is formed, [F, V].
    """

    phrase: ClassVar[str] = "an optimizer that turns its momentum into a step token by token"
    moves: ClassVar[bool] = True
    linear_in_values: ClassVar[bool] = False

    @abc.abstractmethod
    def gathered(self, segment: Segment) -> Mix:
        """Returns the coefficients of Z: of the one before the chunk, and of the gradients."""

    @abc.abstractmethod
    def pushed(self, segment: Segment) -> tuple[Tensor, Tensor]:
        """Returns b, [B, H, C], and P, [B, H, C, C]."""

    @abc.abstractmethod
    def move(self, gathered: Tensor) -> Tensor:
        """Returns the step that a sum of gradients is made into, [..., F, V]."""

    def objection(self, spec: Spec) -> str | None:
        if isinstance(spec.function, KernelModel):
            return (
                f"{self.name} makes the coefficients of given features orthogonal; those of "
                f"{spec.function} belong to pairs, and their number grows with every pair."
            )
        return super().objection(spec)


@dataclass(frozen=True)
class ChunkMuon(OrthogonalSteps):
    r"""Momentum over the newest c pairs, made orthogonal before it moves the memory: Atlas.

    $$Z_t = \eta_t Z_{t-1} + \sum_{i = t - c + 1}^{t} b_i \nabla \ell_i(m_\tau), \qquad
    m_t = a_t m_{t-1} - \rho \beta_t\, \mathrm{NS}_5(Z_t), \qquad
    \tau = b \lfloor (t-1)/b \rfloor$$

    Five Newton-Schulz steps bring all singular values of Z near 1: whatever the size of an error,
    a step has the same, in as many directions as there are. It does not end where nothing is
    wrong, so that the step is the only scale. Matrices alone are made orthogonal; biases move by
    Z. Signals: ``step`` ($\beta_t$) and ``momentum`` ($\eta_t$); the weight $b_i$ of a pair is its
    `Importance`.

    Args:
        window: c, the newest pairs of a step.
        size: b, tokens per chunk.
        rate: rho, the largest step.

    Reference: Atlas: Learning to Optimally Memorize the Context at Test Time (Behrouz et al.,
    2025) https://arxiv.org/abs/2505.23735

    Deviation: 1e-14 is added to the squared norm that Z is divided by, which is 0 at first.
    """

    window: int = option(8, WINDOW, low=1, high=1024)
    size: int = option(16, SIZE, low=1, high=4096)
    rate: float = option(0.03, RATE, low=1e-6, high=1e6)
    horizon: ClassVar[int | None] = 4096
    writes: ClassVar[Fate] = Fate.ANYWHERE
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP, MOMENTUM)

    def move(self, gathered: Tensor) -> Tensor:
        return orthogonal(gathered, QUINTIC)

    def begin(self, memory: Memory) -> Carried:
        zero = {n: torch.zeros_like(m) for n, m in memory.items()}
        return whole(at=memory) | whole(momentum=zero) | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return faded(memory, decay), state

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient, old = self.gradient(part(state, "at"), loss), part(state, "momentum")
        gathered = {n: signals["momentum"] * z + gradient[n] for n, z in old.items()}
        step = self.rate * signals["step"]
        after = {n: m - step * self.move(gathered[n]) for n, m in memory.items()}
        return after, self.advanced(state, after) | whole(momentum=gathered)

    def gathered(self, segment: Segment) -> Mix:
        share = segment.signals["momentum"].expand_as(segment.scores)  # (B H C C), alike in rows
        below = torch.ones_like(segment.scores[0, 0]).tril(-1).bool()
        repeats = torch.where(below, share, 1.0).cumprod(-2).tril()
        left = segment.signals["momentum"][..., 0].cumprod(-1)
        return Mix(None, left, repeats @ self.summed(segment))

    def pushed(self, segment: Segment) -> tuple[Tensor, Tensor]:
        start, decays = segment.decays()
        return start, decays * (self.rate * segment.signals["step"].mT)

    def story(self, on: Letters) -> Story:
        moved, last = now("momentum", "Z_t"), before("momentum", "Z_{t-1}")
        share, rate = signal(r"\eta_t", "momentum"), Numeral(self.rate) * STEPPED
        turned = Form(r"\mathrm{{NS}}_5({0})", self._moves, (moved,), holds=PRODUCT)
        gathered = share * last + self.written_gradient(on, self.chunk_start(on))
        goal = Criterion(on.near(on.decayed_before, rate, turned), on.free)
        momentum = Equation("momentum", "Z_t", gathered, nothing)
        return on.running(goal, on.decayed_before - rate * turned, momentum)

    def _moves(self, gathered: Value) -> Value:
        return each(self.move, gathered)
