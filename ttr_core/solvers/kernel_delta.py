"""Decays x kernel x rank-one steps: one unit-triangular solve of the size of the sequence."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..fading import from_each, left
from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import KernelModel
from ..space.optimizers import KeyStep
from ..space.readouts import Direct, Divides, Readout
from ..space.weights import MemorylessWeights
from .base import Solver
from .chunks import one_down, one_up
from .problem import Problem
from .state import Pairs, State

_Asked = Problem[MemorylessWeights, KernelModel, KeyStep]


class KernelDelta(Solver[_Asked]):
    r"""The delta rule of a kernel: what is written are multiples of the seen keys.

    With the gains $g$ of the steps and the errors $E$,

    $$(I + A) E = V, \qquad A_{ti} = a_{t:i}\, \kappa(k_t, k_i)\, g_i \ (i < t),$$
    $$y = (a_{t:i} \circ \kappa(Q, K))_{i \le t}\, (g \circ E)$$

    with $a_{t:i}$ the product of the decays after token i up to t. A rule that reads nothing writes
    the values themselves. Later tokens read what earlier ones wrote.

    Source: kernel least mean squares, by the triangular solve of Parallelizing Linear Transformers
    with the Delta Rule over Sequence Length (Yang et al., 2024) https://arxiv.org/abs/2406.06484
    """

    name: ClassVar[str] = "kernel_delta"
    cost: ClassVar[str] = "T^2 (K + V), one triangular solve"
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides)

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        pairs = float(shape.batch * shape.heads * shape.length**2)
        return Estimate(2 * pairs * (2 * shape.key_dim + 2 * shape.value_dim), 4.0 * 8 * pairs)

    def state(self, p: _Asked) -> State:
        return Pairs(1 + p.readout.divides)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        optimizer, x = p.optimizer, p.x
        log_decay, importance = p.recency()
        square = p.function.squares(x.k, p.own("function"))
        gain = optimizer.gain(square, importance, p.signals)
        gain = torch.ones_like(square) if gain is None else gain
        steps = torch.zeros_like(square) if log_decay is None else log_decay
        between, since, _ = left(steps)
        early, seen = between, since
        if optimizer.reads_undecayed:
            early, seen = one_down(between), one_down(since, 1.0)
        errors = p.values()
        if kept is not None:
            queries = _read(p, x.q, since, kept)
        if optimizer.reads:
            if kept is not None:
                errors = errors - _read(p, x.k, seen, kept)
            answers = p.inner_products(x.k, x.k) * early * gain.mT
            # The solve takes the unit diagonal for granted and never reads what stands there.
            errors = torch.linalg.solve_triangular(answers, errors, upper=False, unitriangular=True)
        written = gain * errors
        y = (p.inner_products(x.q, x.k) * between) @ written
        after = {"k": x.k, "written": written, "fade": from_each(one_up(steps))}
        if kept is not None:
            y = y + queries
            faded = {**kept, "fade": kept["fade"] + steps.sum(2, keepdim=True)}
            after = {name: torch.cat([faded[name], new], 2) for name, new in after.items()}
        return p.read(y), after


def _read(p: _Asked, x: Tensor, seen: Tensor, kept: Carried) -> Tensor:
    """Returns what the earlier tokens' memory says at x, where the share ``seen`` is left of it."""
    scores = p.inner_products(x, kept["k"])
    return (scores * seen * kept["fade"].mT.exp()) @ kept["written"]
