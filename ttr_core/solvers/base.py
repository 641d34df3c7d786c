"""Solver: an algorithm, the traits it requires, what it costs and what it refuses."""

from __future__ import annotations

import abc
import types
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args, get_origin

from torch import Tensor

from ..limits import Estimate, Lowered, Shape, Smaller
from ..named import Carried, Params
from ..space.ingredient import Ingredient
from ..space.losses import Loss, QuadraticLoss
from ..space.readouts import Direct, Readout
from ..space.spec import Spec
from ..stream import Stream
from .problem import NO_TOKENS, Problem
from .state import State

P = TypeVar("P", bound=Problem[Any, Any, Any])
Traits = tuple[type[Ingredient], ...]
NO_PARAMS: Params = {}


class Solver(abc.ABC, Generic[P]):
    """An algorithm for every spec whose ingredients have the traits it requires.

    They are named once, as ``Solver[Problem[MemorylessWeights, LinearModel, Sum]]``: what a solver
    is given then has parts of these types.
    """

    name: ClassVar[str]
    cost: ClassVar[str]  # per head, in words
    traits: ClassVar[tuple[Traits, ...]]  # of weights, function and optimizer; one of each
    losses: ClassVar[tuple[type[Loss], ...]] = (QuadraticLoss,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct,)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in vars(cls).get("__orig_bases__", ()):
            if get_origin(base) is Solver:
                (problem,) = get_args(base)
                cls.traits = tuple(_one_of(asked) for asked in get_args(problem))

    def refusal(self, spec: Spec) -> str | None:
        """Says why this solver cannot run ``spec``, or None."""
        parts: tuple[Ingredient, ...] = (spec.weights, spec.function, spec.optimizer)
        wanted = [*zip(parts, self.traits, strict=True), (spec.loss, self.losses)]
        for part, traits in (*wanted, (spec.readout, self.readouts)):
            if not isinstance(part, traits):
                asked = " or ".join(trait.phrase for trait in traits)
                return f"needs {asked}; {part} is not"
        return self.declines(self.narrowed(spec))

    def narrowed(self, spec: Spec, x: Stream = NO_TOKENS, params: Params = NO_PARAMS) -> P:
        """Returns the parts of a spec that `refusal` has found to have the traits."""
        weights, function, optimizer = spec.weights, spec.function, spec.optimizer
        made = Problem(spec, weights, function, optimizer, spec.loss, spec.readout, x, params)
        return cast(P, made)

    def declines(self, p: P) -> str | None:
        """Says why a spec with the right traits is refused all the same, or None."""
        return None

    def sequential(self, spec: Spec) -> bool:
        """Whether it goes from token to token: as many steps as a sequence has tokens."""
        return False

    def takes_half(self, spec: Spec) -> bool:
        """Whether it takes half precision as it is and accumulates in float32 by itself."""
        return False

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        """Returns what a solve of this shape costs."""
        return self.work(self.narrowed(spec), shape)

    def smaller(self, spec: Spec, shape: Shape, length: str, batch: str) -> Smaller:
        """Returns what fewer tokens or sequences cost, under what each is called."""

        def cost(shape: Shape) -> Estimate:
            return self.estimate(spec, shape)

        return {
            length: Lowered(shape.length, lambda n: cost(replace(shape, length=n))),
            batch: Lowered(shape.batch, lambda n: cost(replace(shape, batch=n))),
        }

    def state_size(self, spec: Spec, shape: Shape) -> int:
        """Returns how many numbers a head's state holds after ``shape.length`` tokens."""
        return self.state(self.narrowed(spec)).size(shape)

    def state_formula(self, spec: Spec) -> str:
        """Returns that size for all heads as a formula in T, d (model size) and H."""
        return self.state(self.narrowed(spec)).formula()

    def run(
        self, spec: Spec, x: Stream, params: Params, kept: Carried | None
    ) -> tuple[Tensor, Carried]:
        """Solves for a whole stream.

        Args:
            spec: a layer that this solver does not refuse.
            x: the stream, every tensor with H heads.
            params: the spec's parameters by full name.
            kept: where an earlier part of the sequence left off, or None at its start.

        Returns:
            y, [B, H, T, V], and what is kept after the last token.
        """
        return self.solve(self.narrowed(spec, x=x, params=params), kept)

    def finer(self, p: P) -> bool:
        """Whether it may keep float64 beside tokens in float32."""
        return False

    @abc.abstractmethod
    def work(self, p: P, shape: Shape) -> Estimate:
        """Returns what a solve of this shape costs."""

    @abc.abstractmethod
    def state(self, p: P) -> State:
        """Returns what this solver keeps from token to token."""

    @abc.abstractmethod
    def solve(self, p: P, kept: Carried | None) -> tuple[Tensor, Carried]:
        """Solves one problem; as `run`."""


AnySolver = Solver[Any]


def _one_of(asked: Any) -> Traits:
    """Returns the traits of ``A | B``, any of which will do."""
    return get_args(asked) if isinstance(asked, types.UnionType) else (asked,)
