"""The reference as a solver: it refuses nothing, and is only for small inputs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import KernelModel
from ..space.losses import Loss
from ..space.optimizers import Optimizer
from ..space.readouts import Readout
from ..space.spec import Spec
from ..stream import Stream
from .base import Params, Solver, State, kept_formula, kept_size, past, with_past
from .reference import reference


class Reference(Solver):
    """The definition in float64, one token of one head at a time."""

    name: ClassVar[str] = "reference"
    cost: ClassVar[str] = "the definition, token by token in float64"
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (Optimizer,)
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Readout,)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        grows = isinstance(spec.function, KernelModel)
        size = (shape.length if grows else shape.features) * shape.value_dim
        # A token costs about a millisecond of overhead, and a dense Newton step on its memory.
        return Estimate(rows * (1e6 + size**3 + 10.0 * shape.length * size), 8.0 * size**2)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        whole = with_past(x, state)
        return reference(spec, whole, params).to(x.v.dtype), past(whole, spec.weights.reach)
