"""Gradient steps that are all taken at the memory before their chunk: TTT and Titans."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals, part, whole
from ...stream import Signal
from ..fates import Fate
from ..functions import KernelModel, Memory
from ..letters import Letters
from ..newton import Objective
from ..option import option
from ..story import Criterion, Equation, Story, before, nothing, now, signal
from ..terms import Earlier, Form, Index, Let, Letter, Numeral, Term, Value
from .base import Incremental, faded
from .momentum import MOMENTUM
from .rank_one import STEP
from .segments import Course, Mix, Segment

if TYPE_CHECKING:
    from ..spec import Spec

SIZE = "tokens per chunk, whose gradients are taken at the memory before it"
CHUNK_STEP = replace(STEP, by_curvature=False)  # a share of the rate, which is chosen for the model
RATE = "largest step, which the signal is a share of"


class ChunkStart(Incremental):
    r"""Trait: the gradients $\nabla_i$ of a chunk are taken at the memory $m_0$ before it."""

    phrase: ClassVar[str] = "an optimizer that takes its gradients at the memory before a chunk"
    by_gradients: ClassVar[bool] = True
    horizon: ClassVar[int | None] = None  # tokens over which a network keeps rounding small
    moves: ClassVar[bool] = False  # whether z, which is kept too, drives the memory on
    window: int = 1  # how many of the newest pairs each step takes the gradients of
    size: int

    @property
    def before_chunk(self) -> Term:
        """The last token of the chunk before, in formulas."""
        pattern = rf"{self.size} \lfloor ({{0}} - 1) / {self.size} \rfloor"
        return Let(r"\tau", Form(pattern, self._before_chunk, (Index("t"),)))

    def _before_chunk(self, t: int) -> int:
        return (t - 1) // self.size * self.size

    def chunk_start(self, on: Letters) -> Term:
        """Returns the memory at which the gradients are taken, in formulas."""
        return Earlier("memory", rf"{on.function.letter}_\tau", self.before_chunk)

    def advanced(self, state: Carried, memory: Memory) -> Carried:
        """Counts the token, and moves the place of the gradients if it was the last of a chunk."""
        position = state["position"] + 1
        full = position >= self.size
        at = {f"at.{n}": torch.where(full, m, state[f"at.{n}"]) for n, m in memory.items()}
        return at | {"position": torch.where(full, torch.zeros_like(position), position)}


class SummedSteps(ChunkStart):
    r"""Trait: every memory of a chunk is $b_t m_0 + f_t z_0 - \sum_{i \le t} G_{ti} \nabla_i$.

    With numbers for coefficients: no token needs a copy of its own.
    """

    phrase: ClassVar[str] = "an optimizer whose memories are sums of the gradients of a chunk"

    @abc.abstractmethod
    def plan(self, segment: Segment) -> Course:
        """Returns the coefficients of a segment's memories."""


class Mirrored(SummedSteps):
    r"""Trait: the recurrence runs on a dual of the memory, which is read through a mirror."""

    phrase: ClassVar[str] = "an optimizer that takes its steps on a dual of the memory"

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return (Fate.DUAL_SHRINKS if on.weights.fades else Fate.KEEPS, Fate.ANYWHERE)

    @abc.abstractmethod
    def mirror(self, dual: Tensor) -> Tensor:
        """Returns the matrix of its dual, [..., F, V]."""

    def mirrored(self, dual: Memory) -> Memory:
        """Returns the memory of its dual; a bias is its own."""
        return {n: self.mirror(a) if n[0] != "b" else a for n, a in dual.items()}


def counter(memory: Memory) -> Carried:
    """Returns the position in the chunk before its first token."""
    return {"position": next(iter(memory.values())).new_zeros(())}


def no_inputs(spec: Spec) -> str:
    """Says why a step that counts the inputs of a matrix is no step on a kernel's memory."""
    return (
        f"{spec.optimizer} counts the inputs of the memory's matrices; that of {spec.function} has "
        "a row for every pair, of the future too."
    )


def descent(segment: Segment, rate: float) -> Course:
    """Returns the plan of plain steps: each gradient times its step, faded since."""
    start, decays = segment.decays()
    read = Mix(start, None, decays * (rate * segment.signals["step"].mT))
    return Course(read, read.last(), None)


@dataclass(frozen=True)
class ChunkSGD(SummedSteps):
    r"""Gradient steps at the memory before the chunk, in place of the newest one.

    $$m_t = a_t m_{t-1} - c \beta_t \nabla \ell_t(m_{\tau}), \qquad
    \tau = b \lfloor (t-1)/b \rfloor$$

    The step of `SGD` at a memory up to b tokens old, so that a chunk is matrix products whatever
    the model. Signal ``step``: $\beta_t$.

    Args:
        size: b; at 1 it is `SGD` on the undecayed residual.
        rate: c, the largest step. Gradients through a norm are as large as its inputs are small,
            and a chunk adds b of them: networks take 0.01 to 0.1.

    Reference: It's All Connected: A Journey Through Test-Time Memorization, Attentional Bias,
    Retention, and Online Optimization (Behrouz et al., 2025) https://arxiv.org/abs/2504.13173
    """

    size: int = option(16, SIZE, low=1, high=4096)
    rate: float = option(1.0, RATE, low=1e-6, high=1e6)
    horizon: ClassVar[int | None] = 4096
    examples: ClassVar[tuple[dict[str, object], ...]] = ()

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP,)

    def begin(self, memory: Memory) -> Carried:
        return whole(at=memory) | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return faded(memory, decay), state

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient = torch.func.grad(loss)(part(state, "at"))
        step = self.rate * signals["step"]
        after = {n: memory[n] - step * gradient[n] for n in memory}
        return after, self.advanced(state, after)

    def plan(self, segment: Segment) -> Course:
        return descent(segment, self.rate)

    def story(self, on: Letters) -> Story:
        rate = Numeral(self.rate) * signal(r"\beta_t", "step") * on.brought
        return on.stepped(rate, self.chunk_start(on))


@dataclass(frozen=True)
class ChunkMomentum(SummedSteps):
    r"""Momentum on gradients at the memory before the chunk: the memory of Titans.

    $$Z_t = \eta_t Z_{t-1} - c \theta_t \nabla \ell_t(m_{\tau}), \qquad m_t = a_t m_{t-1} + Z_t,
    \qquad \tau = b \lfloor (t-1)/b \rfloor$$

    `Momentum` at a memory up to b tokens old, so that a chunk is matrix products whatever the
    model. Signals: ``step`` ($\theta_t$) and ``momentum`` ($\eta_t$).

    Args:
        size: b; at 1 it is `Momentum` on the undecayed residual.
        rate: c, the largest step, as for `ChunkSGD`.

    Reference: Titans: Learning to Memorize at Test Time (Behrouz, Zhong and Mirrokni, 2024)
    https://arxiv.org/abs/2501.00663

    Deviation: the paper's loss is twice this one, so that its step is half of theta.
    """

    size: int = option(16, SIZE, low=1, high=4096)
    rate: float = option(1.0, RATE, low=1e-6, high=1e6)
    horizon: ClassVar[int | None] = 4096
    writes: ClassVar[Fate] = Fate.GOES_ON
    examples: ClassVar[tuple[dict[str, object], ...]] = ({"rate": 0.1},)
    moves: ClassVar[bool] = True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP, MOMENTUM)

    def begin(self, memory: Memory) -> Carried:
        zero = {n: torch.zeros_like(m) for n, m in memory.items()}
        return whole(at=memory) | whole(momentum=zero) | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return faded(memory, decay), state

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient, old = torch.func.grad(loss)(part(state, "at")), part(state, "momentum")
        step, share = self.rate * signals["step"], signals["momentum"]
        moved = {n: share * z - step * gradient[n] for n, z in old.items()}
        after = {n: memory[n] + moved[n] for n in memory}
        return after, self.advanced(state, after) | whole(momentum=moved)

    def plan(self, segment: Segment) -> Course:
        start, decays = segment.decays()
        share = segment.signals["momentum"].expand_as(segment.scores)  # (B H C C), alike in rows
        below = torch.ones_like(decays).tril(-1).bool()
        # Products of the shares after column i up to row t, zero above the diagonal.
        repeats = torch.where(below, share, 1.0).cumprod(-2).tril()
        surprise = repeats * (self.rate * segment.signals["step"].mT)
        left = segment.signals["momentum"][..., 0].cumprod(-1)
        read = Mix(start, (decays @ left[..., None])[..., 0], decays @ surprise)
        return Course(read, read.last(), Mix(None, left, surprise).last())

    def story(self, on: Letters) -> Story:
        at, share = self.chunk_start(on), signal(r"\eta_t", "momentum")
        rate = Numeral(self.rate) * signal(r"\theta_t", "step") * on.brought
        return on.going_on(share, rate, at, on.toward(rate, at))


@dataclass(frozen=True)
class MiniBatch(SummedSteps):
    r"""A mini-batch step that grows with the batch: the inner loop of TTT.

    $$m_t = m_\tau - \frac{c}{F} \max\!\big(\tfrac1{j} + s_j, 0\big)
    \sum_{i = \tau + 1}^{t} \beta_i \nabla \ell_i(m_\tau), \qquad j = t - \tau$$

    Every gradient of a batch is taken at the memory before it, and the j-th token reads their
    mean rather than their sum; a decay shrinks both. Signal ``step``: $\beta_i$. The shift $s_j$
    of each position is learned.

    Args:
        size: tokens per batch; at 1, and $s = 0$, it is `SGD` with a step of c / F.
        rate: c, the base of the step; F is the number of inputs.

    Reference: Learning to (Learn at Test Time): RNNs with Expressive Hidden States (Sun et al.,
    2024) https://arxiv.org/abs/2407.04620
    """

    size: int = option(16, "tokens per mini-batch", low=1, high=4096)
    rate: float = option(1.0, "base of the step, divided by the number of inputs", 1e-6, 1e6)
    moves: ClassVar[bool] = True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP,)

    def objection(self, spec: Spec) -> str | None:
        if isinstance(spec.function, KernelModel):
            return no_inputs(spec)
        return super().objection(spec)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"shift": torch.zeros(heads, self.size, requires_grad=True)}

    def begin(self, memory: Memory) -> Carried:
        zero = {n: torch.zeros_like(m) for n, m in memory.items()}
        at, base = whole(at=memory), whole(base=memory)
        return at | base | whole(sum=zero) | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        base, total = (faded(part(state, name), decay) for name in ("base", "sum"))
        return faded(memory, decay), state | whole(base=base) | whole(sum=total)

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient, old = torch.func.grad(loss)(part(state, "at")), part(state, "sum")
        total = {n: s + signals["step"] * gradient[n] for n, s in old.items()}
        here = torch.arange(self.size, device=signals["shift"].device) == state["position"]
        shift = torch.where(here, signals["shift"].to(signals["step"]), 0.0).sum()
        inputs = next(iter(memory.values())).shape[0]
        mean = self.rate / inputs * torch.relu(1 / (state["position"] + 1) + shift)
        base = part(state, "base")
        after = {n: base[n] - mean * total[n] for n in memory}
        moved = self.advanced(state, after)
        new = moved["position"] == 0  # the next batch starts from here
        base = {n: torch.where(new, after[n], base[n]) for n in memory}
        total = {n: torch.where(new, torch.zeros_like(s), s) for n, s in total.items()}
        return after, moved | whole(base=base) | whole(sum=total)

    def plan(self, segment: Segment) -> Course:
        start, decays = segment.decays()
        size = segment.scores.shape[-1]
        place = slice(segment.first, segment.first + size)
        shift = segment.params["shift"][:, place].to(segment.scores)
        position = torch.arange(segment.first + 1, segment.first + size + 1).to(shift)
        mean = self.rate / segment.inputs * torch.relu(1 / position + shift)  # (H C)
        total = decays * segment.signals["step"].mT
        read = Mix(start, mean * start, mean[..., None] * total)
        if place.stop == self.size:
            return Course(read, read.last(), None)
        nothing = torch.zeros_like(total)
        return Course(read, Mix(start, None, nothing).last(), Mix(None, start, total).last())

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        shrinks, writes = super().forgetting(on)
        return (shrinks, Fate.SHARED, writes) if on.weights.fades else (Fate.SHARED, writes)

    def story(self, on: Letters) -> Story:
        at, inputs = self.chunk_start(on), Letter("inputs", "F")
        place = Let("j", Index("t") - self.before_chunk)
        later = Form(r"\mathbf{{1}}[{0} > 1]", _later, (place,))
        pattern = r"\max\big(\tfrac{{1}}{{{0}}} + {1}_{0}, 0\big)"
        mean = Form(pattern, _mean, (place, Letter("shift", "s")))
        rate = Numeral(self.rate) / inputs * mean
        summed, base = now("sum", "G_t"), now("base", "B_t")
        left = later * on.decayed(before("sum", "G_{t-1}"))
        step = signal(r"\beta_t", "step") * on.brought * on.slope(at)
        start = Form(
            r"\begin{{cases}} {0} & {1} > 1 \\ {2} & {1} = 1 \end{{cases}}",
            _since,
            (before("base", "B_{t-1}"), place, at),
        )
        goal = Criterion(on.near(base, rate, summed), on.free)
        others = (
            Equation("base", "B_t", on.decayed(start)),
            Equation("sum", "G_t", left + step, nothing),
        )
        return on.running(goal, base - rate * summed, *others)


def _later(j: int) -> float:
    return float(j > 1)


def _mean(j: int, shift: Tensor) -> Tensor:
    return torch.relu(1 / j + shift[j - 1])


def _since(base: Value, j: int, start: Value) -> Value:
    return base if j > 1 else start
