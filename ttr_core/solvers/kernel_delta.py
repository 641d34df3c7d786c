"""Decays x kernel x rank-one steps: one unit-triangular solve of the size of the sequence."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import KernelModel
from ..space.optimizers import KeyStep, Optimizer
from ..space.readouts import Normalized, Plain, Readout
from ..space.spec import Spec, axis
from ..space.weights import MemorylessWeights
from ..stream import Stream
from .base import Params, Solver, State, fitted_values, inner_products, read_out, recency
from .chunks import lower


class KernelDelta(Solver):
    r"""The delta rule of a kernel: what is written are multiples of the seen keys.

    With the gains $g$ of the steps and the errors $E$,

    $$(I + A) E = V, \qquad A_{ti} = \kappa(k_t, k_i)\, g_i\, e^{c_t - c_i} \ (i < t),$$
    $$y = (\kappa(Q, K) \circ e^{c_t - c_i})_{i \le t}\, (g \circ E)$$

    A rule that reads nothing writes the values themselves. Later tokens read what earlier ones
    wrote.

    Source: kernel least mean squares, by the triangular solve of Parallelizing Linear Transformers
    with the Delta Rule over Sequence Length (Yang et al., 2024) https://arxiv.org/abs/2406.06484
    """

    name: ClassVar[str] = "kernel_delta"
    cost: ClassVar[str] = "T^2 (K + V), one triangular solve"
    weights = MemorylessWeights
    function = KernelModel
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (KeyStep,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain, Normalized)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        pairs = float(shape.batch * shape.heads * shape.length**2)
        return Estimate(2 * pairs * (2 * shape.key_dim + 2 * shape.value_dim), 4.0 * 8 * pairs)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return shape.length * (shape.key_dim + shape.value_dim + spec.readout.divides + 1)

    def state_formula(self, spec: Spec) -> str:
        return "2 T d + T H" + (" + T H" if spec.readout.divides else "")

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        optimizer, model = spec.optimizer, spec.function
        assert isinstance(optimizer, KeyStep) and isinstance(model, KernelModel)
        log_decay, importance = recency(spec, x, params)
        square = model.squares(x.k, axis(params, "function"))
        gain = optimizer.gain(square, importance, {**x.signals, **axis(params, "optimizer")})
        gain = torch.ones_like(square) if gain is None else gain
        steps = torch.zeros_like(square) if log_decay is None else log_decay
        c = steps.cumsum(2)
        seen = c - steps if optimizer.reads_undecayed else c
        errors = fitted_values(spec, x)
        if state is not None:
            queries = _read(spec, x.q, c, state, params)
        if optimizer.reads:
            if state is not None:
                errors = errors - _read(spec, x.k, seen, state, params)
            answers = inner_products(spec, x.k, x.k, params) * _faded(seen, c, -1) * gain.mT
            # The solve takes the unit diagonal for granted and never reads what stands there.
            errors = torch.linalg.solve_triangular(answers, errors, upper=False, unitriangular=True)
        written = gain * errors
        y = (inner_products(spec, x.q, x.k, params) * _faded(c, c, 0)) @ written
        after = {"k": x.k, "written": written, "fade": c[:, :, -1:] - c}
        if state is not None:
            y = y + queries
            faded = {**state, "fade": state["fade"] + c[:, :, -1:]}
            after = {name: torch.cat([faded[name], new], 2) for name, new in after.items()}
        return read_out(spec, y), after


def _faded(rows: Tensor, columns: Tensor, diagonal: int) -> Tensor:
    """Returns exp(c_t - c_i) for i <= t + diagonal, [B, H, T, T]."""
    hidden = ~lower(rows.shape[2], diagonal, rows)
    # Masked before exp: above the diagonal the difference is positive and would overflow.
    return (rows - columns.mT).masked_fill(hidden, -math.inf).exp()


def _read(spec: Spec, x: Tensor, seen: Tensor, state: State, params: Params) -> Tensor:
    """Returns what the earlier tokens' memory says at x, after a log decay of ``seen``."""
    scores = inner_products(spec, x, state["k"], params)
    return (scores * (seen + state["fade"].mT).exp()) @ state["written"]
