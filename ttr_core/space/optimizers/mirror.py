"""Gradient steps in a geometry of their own: the retention of Memora and Moneta."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Carried, Signals, part, whole
from ...stream import Signal
from ..functions import ConstantModel, KernelModel, Memory
from ..letters import Letters
from ..newton import Objective
from ..option import SHARPNESSES, option
from ..story import Criterion, Equation, Story, before, now, signal
from ..terms import PRODUCT, Form, Letter, Numeral, Value
from .base import faded
from .chunked import CHUNK_STEP, RATE, SIZE, Mirrored, counter, descent
from .segments import Course, Segment

if TYPE_CHECKING:
    from ..spec import Spec

EPS = 1e-3  # beside |A|_q^q, so that a memory near zero is not blown up without end


@dataclass(frozen=True)
class MirrorDescent(Mirrored):
    r"""Steps on a dual of the memory, which is read through a mirror.

    $$A_t = a_t A_{t-1} - \rho \beta_t \nabla \ell_t(W_{\tau}), \qquad
    W_t = c\,\mathrm{softmax}(A_t) \quad\text{or}\quad A_t / |A_t|_q^{q-2},
    \qquad \tau = b \lfloor (t-1)/b \rfloor$$

    ``entropy``: each output is a mean of its inputs, times c: a column of W, over the inputs, is
    a simplex, and a decay of A flattens it (Memora). ``lq``: the printed rule of Moneta, whose
    norm runs over the whole matrix; it is no mirror map of the norm, and where A is small it
    makes W large. A decay per feature fades the rows of A apart. Only matrices have a mirror;
    biases take plain steps. What the model calls its start is that of A. Signal ``step``:
    $\beta_t$.

    Args:
        geometry: the mirror, ``entropy`` or ``lq``.
        scale: c, the sum of each simplex.
        q: the power of ``lq``; 2 is plain descent.
        size: b, tokens per chunk.
        rate: rho, the largest step, as for `ChunkSGD`.

    Reference: It's All Connected: A Journey Through Test-Time Memorization, Attentional Bias,
    Retention, and Online Optimization (Behrouz et al., 2025) https://arxiv.org/abs/2504.13173

    Deviation: 1e-3 is added to $|A|_q^q$; the axis of the softmax is ours.
    """

    geometry: str = option("entropy", "the mirror", choices=("entropy", "lq"))
    scale: float = option(1.0, "sum of each simplex", low=1e-6, high=1e6, tune=SHARPNESSES)
    q: float = option(4.0, "power of the norm of lq", low=2.0, high=16.0)
    size: int = option(16, SIZE, low=1, high=4096)
    rate: float = option(1.0, RATE, low=1e-6, high=1e6)
    horizon: ClassVar[int | None] = 4096
    linear_in_values: ClassVar[bool] = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHUNK_STEP,)

    def objection(self, spec: Spec) -> str | None:
        if self.geometry == "entropy" and isinstance(spec.function, ConstantModel):
            return (
                f"{self.name} keeps a simplex over the inputs, and {spec.function} has one input: "
                "its memory could never move."
            )
        if isinstance(spec.function, KernelModel):
            return (
                f"{self.name} mirrors the coefficients of given features; those of {spec.function} "
                "are determined up to a rotation only, and keys to come would turn them."
            )
        return super().objection(spec)

    def mirror(self, dual: Tensor) -> Tensor:
        if self.geometry == "entropy":
            return self.scale * dual.softmax(-2)
        total = (dual.square() ** (self.q / 2)).sum((-2, -1), keepdim=True)
        return dual * (total + EPS) ** (2 / self.q - 1)

    def begin(self, memory: Memory) -> Carried:
        return whole(at=self.mirrored(memory)) | whole(dual=memory) | counter(memory)

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        return memory, state | whole(dual=faded(part(state, "dual"), decay))

    def update(
        self, memory: Memory, state: Carried, loss: Objective, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        gradient, old = torch.func.grad(loss)(part(state, "at")), part(state, "dual")
        step = self.rate * signals["step"]
        dual = {n: a - step * gradient[n] for n, a in old.items()}
        after = self.mirrored(dual)
        return after, self.advanced(state, after) | whole(dual=dual)

    def plan(self, segment: Segment) -> Course:
        return descent(segment, self.rate)

    def story(self, on: Letters) -> Story:
        at, dual, free = self.chunk_start(on), now("dual", "A_t"), Letter("dual", "A")
        rate = Numeral(self.rate) * signal(r"\beta_t", "step") * on.brought
        left = on.decayed(before("dual", "A_{t-1}"))
        goal = on.near(left, rate, on.slope(at), free)
        read = Form(self._pattern(on), self._read, (dual,), holds=PRODUCT)
        told = on.running(
            Criterion(goal, free, gives="dual"),
            read,
            Equation("dual", "A_t", left + on.toward(rate, at)),
        )
        memory, *others = told.update
        return replace(told, update=(replace(memory, start=self._read), *others))

    def _pattern(self, on: Letters) -> str:
        matrices = "" if on.function.by_features else r"\quad\text{{(each matrix)}}"
        if self.geometry == "entropy":
            scale = "" if self.scale == 1 else rf"{self.scale:g}\, "
            return rf"{scale}\mathrm{{{{softmax}}}}({{0}}){matrices}"
        power = f"{Numeral(EPS).tex()}"
        q = f"{self.q:g}"
        size = rf"\big(|{{0}}|_{{{{{q}}}}}^{{{{{q}}}}} + {power}\big)^{{{{{1 - 2 / self.q:g}}}}}"
        return rf"{{0}} \Big/ {size}{matrices}"

    def _read(self, dual: Value) -> Value:
        return self.mirrored(dual) if isinstance(dual, dict) else self.mirror(dual)
