"""One step for a whole chunk, taken when it has ended: LaCT."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals, part, whole
from ...stream import Signal
from ..fates import Fate
from ..functions import Memory, Network
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Criterion, Equation, Story, before, nothing, now, signal
from ..terms import HALF, PRODUCT, Form, Index, Let, Numeral, Term, Value, each, square
from .base import Incremental, faded
from .chunked import CHUNK_STEP, RATE, counter
from .momentum import MOMENTUM
from .orthogonal import TUNED, orthogonal, rescaled

if TYPE_CHECKING:
    from ..spec import Spec


class EndSteps(Incremental):
    r"""Trait: the memory is still within a chunk, and moves when the chunk has ended.

    Every query of a chunk reads the memory before it, and every gradient is taken there.
    """

    phrase: ClassVar[str] = "an optimizer that moves the memory at the ends of chunks"
    by_gradients: ClassVar[bool] = True
    linear_in_values: ClassVar[bool] = False
    size: int

    @abc.abstractmethod
    def ended(
        self, memory: Memory, last: Memory, share: Tensor, summed: Memory
    ) -> tuple[Memory, Memory]:
        """Returns what the end of a chunk makes of the memory, and of what drives it on.

        Args:
            memory: that of the chunk's last token.
            last: what drove it at the end of the chunk before.
            share: mean of what goes on of that, [...].
            summed: the gradients of the chunk, each times its step.
        """

    def forgetting(self, on: Letters) -> tuple[Fate, ...]:
        return (Fate.SHRINKS, Fate.AT_ENDS) if on.weights.fades else (Fate.AT_ENDS,)

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.function, Network):
            return (
                f"{self.name} keeps the norms that a memory starts with, and that of "
                f"{spec.function} starts at 0: it needs {Network.phrase}."
            )
        return super().objection(spec)


@dataclass(frozen=True)
class LargeChunkMuon(EndSteps):
    r"""One orthogonal step for all pairs of a chunk, when it has ended, and norms kept: LaCT.

    $$G_c = \sum_{i \in c} \beta_i \nabla \ell_i(m_{c-1}), \qquad
    Z_c = \bar\eta_c Z_{c-1} + G_c, \qquad
    m_c = \mathrm{norms}_{m_{c-1}}\big(m_{c-1} - \rho\, \mathrm{NS}_5(Z_c)\big)$$

    Every query of chunk c reads $m_{c-1}$: a pair is found from the next chunk on, so that what
    looks up nearer ones, such as attention in a window, belongs beside it. In return a chunk of
    thousands of tokens is a few large matrix products. Five Newton-Schulz steps bring all singular
    values of Z near 1; then the inputs of every unit get the norm back that they had, which is what
    forgets. Signals: ``step`` ($\beta_i$) and ``momentum``, whose mean over the chunk is
    $\bar\eta_c$.

    Args:
        size: b, tokens per chunk.
        rate: rho, the step. The code's is 1, in chunks of 2 048. A chunk of 16 under it turns the
            memory about, and the gradients of 4 096 tokens are infinite.

    Reference: Test-Time Training Done Right (Zhang et al., 2025) https://arxiv.org/abs/2505.23884

    Deviation: 1e-14 is added to the square of every norm that is divided by (code: 1e-7 or 1e-5 to
    the norm). One step per token (code: one for each matrix). The code runs Newton-Schulz in
    bfloat16.
    """

    size: int = option(16, "tokens per chunk, after each of which the memory moves", 1, 65536)
    rate: float = option(0.05, RATE, low=1e-6, high=1e6)
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP, MOMENTUM)

    def ended(
        self, memory: Memory, last: Memory, share: Tensor, summed: Memory
    ) -> tuple[Memory, Memory]:
        moved = {n: _spread(share, z) * z + summed[n] for n, z in last.items()}
        after = {
            n: m - self.rate * moved[n] if n[0] == "b" else self._moved(m, moved[n])
            for n, m in memory.items()
        }
        return after, moved

    def begin(self, memory: Memory) -> Carried:
        zero = {n: torch.zeros_like(m) for n, m in memory.items()}
        share = {"share": next(iter(memory.values())).new_zeros(())}
        own = whole(at=memory) | whole(sum=zero) | whole(move=zero)
        return own | share | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        first, at = state["position"] == 0, part(state, "at")
        left = faded({n: torch.where(first, at[n], m) for n, m in memory.items()}, decay)
        return left, state | whole(at={n: torch.where(first, left[n], m) for n, m in at.items()})

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        at, first = part(state, "at"), state["position"] == 0
        memory = {n: torch.where(first, at[n], m) for n, m in memory.items()}
        gradient = torch.func.grad(loss)(at)
        step = signals["step"][0]
        summed = {n: z + step * gradient[n] for n, z in part(state, "sum").items()}
        share = state["share"] + signals["momentum"][0] / self.size
        position, last = state["position"] + 1, part(state, "move")
        moved, drive = self.ended(memory, last, share, summed)
        full = position >= self.size
        after = {
            "at": {n: torch.where(full, moved[n], m) for n, m in at.items()},
            "sum": {n: torch.where(full, torch.zeros_like(z), z) for n, z in summed.items()},
            "move": {n: torch.where(full, drive[n], z) for n, z in last.items()},
        }
        numbers = {"share": share, "position": position}
        left = {n: torch.where(full, torch.zeros_like(z), z) for n, z in numbers.items()}
        return memory, {f"{k}.{n}": z for k, held in after.items() for n, z in held.items()} | left

    def _moved(self, memory: Tensor, drive: Tensor) -> Tensor:
        return rescaled(memory - self.rate * orthogonal(drive, TUNED), memory)

    def story(self, on: Letters) -> Story:
        place = Let("j", Index("t") - Let(r"\tau", self._before_chunk))
        first, last = _case("1"), _case(f"{self.size}")
        ended, at = before("ended", "A_{t-1}"), now("at", "P_t")
        opened = Form(first, _at_first, (place, ended, on.before))
        center = on.decayed(opened)
        goal = Criterion(HALF * square(on.free - center), on.free)
        slopes = signal(r"\beta_t", "step") * on.brought * on.slope(at)
        later, share = Form(_LATER, _later, (place,)), signal(r"\eta_t", "momentum")
        summed = later * before("sum", "G_{t-1}") + slopes
        mean = later * before("share", "h_{t-1}") + share / Numeral(self.size)
        drive = now("share", "h_t") * before("move", "Z_{t-1}") + now("sum", "G_t")
        pushed = Form(self._kept, self._moved_each, (on.now, now("move", "Z_t")), holds=PRODUCT)
        old = before("at", "P_{t-1}"), before("move", "Z_{t-1}")
        return on.running(
            goal,
            center,
            Equation("at", "P_t", Form(first, _at_first, (place, on.now, old[0]))),
            Equation("sum", "G_t", summed, nothing),
            Equation("share", "h_t", mean, _zero),
            Equation("move", "Z_t", Form(last, self._at_last, (place, drive, old[1])), nothing),
            Equation("ended", "A_t", Form(last, self._at_last, (place, pushed, ended))),
        )

    @property
    def _kept(self) -> str:
        rate = "" if self.rate == 1 else f"{Numeral(self.rate).tex()}\\, "
        return (
            rf"\mathrm{{{{norms}}}}_{{{{{{0}}}}}}\big({{0}} - {rate}\mathrm{{{{NS}}}}_5({{1}})\big)"
        )

    @property
    def _before_chunk(self) -> Term:
        pattern = rf"{self.size} \lfloor ({{0}} - 1) / {self.size} \rfloor"
        return Form(pattern, self._chunk_start, (Index("t"),))

    def _chunk_start(self, t: int) -> int:
        return (t - 1) // self.size * self.size

    def _at_last(self, j: int, then: Value, otherwise: Value) -> Value:
        return then if j == self.size else otherwise

    def _moved_each(self, memory: Value, drive: Value) -> Value:
        return each(self._moved, memory, drive)


_LATER = r"\mathbf{{1}}[{0} > 1]"


def _case(number: str) -> str:
    """Returns how a term is written that is one thing at a place of the chunk, and else another."""
    cases = rf"{{1}} & {{0}} = {number} \\ {{2}} & {{0}} \neq {number}"
    return rf"\begin{{{{cases}}}} {cases} \end{{{{cases}}}}"


def _at_first(j: int, then: Value, otherwise: Value) -> Value:
    return then if j == 1 else otherwise


def _later(j: int) -> float:
    return float(j > 1)


def _zero(memory: Value) -> float:
    return 0.0


def _spread(share: Tensor, like: Tensor) -> Tensor:
    """Returns a number per head beside its matrices."""
    return share.view(*share.shape, *[1] * (like.dim() - share.dim()))
