"""The reference as a solver: it refuses nothing, and is only for small inputs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import FunctionClass, KernelModel
from ..space.losses import Loss
from ..space.optimizers import Optimizer
from ..space.readouts import Readout
from ..space.spec import Spec
from ..space.weights import Weights
from .base import Solver
from .problem import Problem
from .reference import reference
from .state import Past, State

_Asked = Problem[Weights, FunctionClass, Optimizer]


class Reference(Solver[_Asked]):
    """The definition in float64, one token of one head at a time."""

    name: ClassVar[str] = "reference"
    cost: ClassVar[str] = "the definition, token by token in float64"
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Readout,)

    def sequential(self, spec: Spec) -> bool:
        return True

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = shape.batch * shape.heads * shape.length
        grows = isinstance(p.function, KernelModel)
        size = (shape.length if grows else shape.features) * shape.value_dim
        # A token costs about a millisecond of overhead, and a dense Newton step on its memory.
        return Estimate(rows * (1e6 + size**3 + 10.0 * shape.length * size), 8.0 * size**2)

    def state(self, p: _Asked) -> State:
        return Past(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        return reference(p.spec, x, p.params).to(x.v.dtype), past.keep(x)
