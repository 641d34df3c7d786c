"""Solver: an algorithm, the traits it requires, what it costs and what it refuses."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import FeatureModel, FunctionClass, LinearModel
from ..space.ingredient import Ingredient
from ..space.losses import Loss, Squared
from ..space.optimizers import Exact, Optimizer
from ..space.optimizers.structure import Features
from ..space.readouts import Plain, Readout, ReadsBefore
from ..space.spec import Spec, axis
from ..space.weights import MemorylessWeights, Recency, Weights
from ..stream import Stream

Params = Mapping[str, Tensor]
SAFE_RIDGE = 0.1
State = dict[str, Tensor]
"""What a solver needs to go on: tensors by name, batch and head first."""


class Solver(abc.ABC):
    """An algorithm for every spec whose ingredients have the traits it requires."""

    name: ClassVar[str]
    cost: ClassVar[str]  # per head, in words
    rtol32: ClassVar[float] = 1e-4  # promised relative accuracy in float32
    weights: ClassVar[type[Weights]] = Weights  # type: ignore[type-abstract]
    function: ClassVar[type[FunctionClass]] = FunctionClass  # type: ignore[type-abstract]
    optimizers: ClassVar[tuple[type[Optimizer], ...]]
    losses: ClassVar[tuple[type[Loss], ...]] = (Squared,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Plain,)

    def takes_half(self, spec: Spec) -> bool:
        """Whether it takes half precision as it is and accumulates in float32 by itself."""
        return False

    def refusal(self, spec: Spec) -> str | None:
        """Says why this solver cannot run ``spec``, or None."""
        wanted: list[tuple[Ingredient, tuple[type[Ingredient], ...]]] = [
            (spec.weights, (self.weights,)),
            (spec.function, (self.function,)),
            (spec.optimizer, self.optimizers),
            (spec.loss, self.losses),
            (spec.readout, self.readouts),
        ]
        for part, traits in wanted:
            if not isinstance(part, traits):
                asked = " or ".join(_asked(trait) for trait in traits)
                return f"needs {asked}; {part} is not"
        return self.declines(spec)

    @abc.abstractmethod
    def declines(self, spec: Spec) -> str | None:
        """Says why a spec with the right traits is refused all the same, or None."""

    @abc.abstractmethod
    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        """Returns what a solve of this shape costs."""

    @abc.abstractmethod
    def state_size(self, spec: Spec, shape: Shape) -> int:
        """Returns how many numbers a head's state holds after ``shape.length`` tokens."""

    @abc.abstractmethod
    def state_formula(self, spec: Spec) -> str:
        """Returns that size for all heads as a formula in T, d (model size) and H."""

    @abc.abstractmethod
    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        """Solves for a whole stream.

        Args:
            spec: a layer that this solver does not refuse.
            x: the stream, every tensor with H heads.
            params: the spec's parameters by full name.
            state: where an earlier part of the sequence left off, or None at its start.

        Returns:
            y, [B, H, T, V], and the state after the last token.
        """


def _asked(trait: type[Ingredient]) -> str:
    """A trait by its phrase, a final choice by its name."""
    return trait.phrase if "phrase" in vars(trait) else trait.name


def fitted_values(spec: Spec, x: Stream) -> Tensor:
    """Returns the values, with a column of ones after them if the readout divides."""
    return torch.cat([x.v, torch.ones_like(x.v[..., :1])], -1) if spec.readout.divides else x.v


def read_out(spec: Spec, y: Tensor) -> Tensor:
    """Returns the outputs from what was fitted to `fitted_values`."""
    divides = spec.readout.divides
    return spec.readout(y[..., :-1], y[..., -1:]) if divides else spec.readout(y, None)


def newest(spec: Spec, q: Tensor, k: Tensor, v: Tensor, params: Params) -> Tensor | None:
    """Returns what each token's own pair adds to a memory read before it, [B, H, T, V].

    Args:
        spec: a layer on a linear model.
        q: features of the queries.
        k: features of the keys.
        v: values times their importance.
        params: the spec's parameters by full name.
    """
    if not isinstance(spec.readout, ReadsBefore):
        return None
    return spec.readout.newest(q, k, axis(params, "readout")) * v


def matrix_size(spec: Spec, shape: Shape) -> int:
    """Returns the size of S, with the normalizer if the readout divides, per head."""
    return shape.features * (shape.value_dim + spec.readout.divides)


def matrix_formula(spec: Spec, gram: bool, copies: int = 1) -> str:
    """Returns the size of S, with a Gram matrix beside it if ``gram``, over all heads.

    In T, d (model size) and H, with a number of features that is fixed as a number; with F where
    features are not a multiple of the key size. With ``copies`` there are so many matrices of the
    size of S.
    """
    model, divides = spec.function, spec.readout.divides
    assert isinstance(model, LinearModel)
    fixed = model.width(2)
    if fixed == model.width(3) == model.width(60):
        beside = (fixed**2 if gram else 0) + (fixed if divides else 0)
        return f"{_times(copies * fixed)}d" + (f" + {_times(beside)}H" if beside else "")
    per_key, rest = divmod(model.width(60), 60)
    if rest or fixed != 2 * per_key:
        return f"{_times(copies)}F d" + (" + H F^2" if gram else "") + (" + H F" if divides else "")
    squares = copies * per_key + (per_key**2 if gram else 0)
    return f"{_times(squares)}d^2 / H" + (f" + {_times(per_key)}d" if divides else "")


def memory_formula(spec: Spec, copies: int = 1) -> str:
    """Returns the size of so many memories over all heads as a formula in d (model size) and H."""
    model = spec.function
    if isinstance(model, LinearModel):
        return matrix_formula(spec, gram=False, copies=copies)
    vectors = (9 * model.memory_size(2, 2) - 4 * model.memory_size(3, 3)) // 6
    squares = (model.memory_size(2, 2) - 2 * vectors) // 4
    rest = f" + {_times(copies * vectors)}d" if vectors else ""
    return f"{_times(copies * squares)}d^2 / H{rest}"


def _times(factor: int) -> str:
    return "" if factor == 1 else f"{factor} "


def kept_size(spec: Spec, shape: Shape) -> int:
    """Returns the size of a state that keeps every key, value and signal that may yet count."""
    signals = sum(
        spec.signal_width(signal, shape.key_dim, shape.value_dim) for signal in spec.signals
    )
    reach = spec.weights.reach
    tokens = shape.length if reach is None else min(shape.length, reach - 1)
    return tokens * (shape.key_dim + shape.value_dim + signals)


def kept_formula(spec: Spec) -> str:
    """Returns that size over all heads as a formula."""
    scalars = sum(signal.width == "scalar" for signal in spec.signals)
    reach = spec.weights.reach
    if reach is not None:
        return f"{2 * (reach - 1)} d" + (f" + {scalars * (reach - 1)} H" if scalars else "")
    extra = {0: "", 1: " + T H"}.get(scalars, f" + {scalars} T H")
    return "2 T d" + extra


def feature_map(spec: Spec, params: Params) -> Features:
    """Returns phi of a linear model."""
    model, own = spec.function, axis(params, "function")
    assert isinstance(model, LinearModel)
    return lambda x: model.features(x, own)


def features(spec: Spec, x: Stream, params: Params) -> tuple[Tensor, Tensor]:
    """Returns phi(q) and phi(k) of a linear model, [B, H, T, F] each."""
    phi = feature_map(spec, params)
    return phi(x.q), phi(x.k)


def inner_products(spec: Spec, a: Tensor, b: Tensor, params: Params) -> Tensor:
    """Returns phi(a) . phi(b) of a model with features of the key alone, [..., A, B]."""
    model = spec.function
    own = {
        n: p.to(a.dtype) if p.is_floating_point() else p
        for n, p in axis(params, "function").items()
    }
    assert isinstance(model, FeatureModel)
    return model.inner_products(a, b, own)


TYPICAL_KEY, WIDE = 64, 4
"""Features are wide that are more than 4 times as many as the entries of a key of size 64."""


def no_dual(spec: Spec) -> str | None:
    """Says why an exact fit has no gain from a system of the size of the past, or None."""
    assert isinstance(spec.optimizer, Exact)
    model = spec.function
    if spec.optimizer.ridge == 0:
        return "needs a ridge above 0"
    if isinstance(model, LinearModel):
        if model.closed_gram is None:
            return f"needs inner products in closed form; those of {model} take its features"
        if model.width(TYPICAL_KEY) <= WIDE * TYPICAL_KEY:
            return f"leaves {model}, whose features are few, to solvers with a system of their size"
    return None


def recency(spec: Spec, x: Stream, params: Params) -> Recency:
    """Returns the per-token decays and importances of memoryless weights."""
    assert isinstance(spec.weights, MemorylessWeights)
    return spec.weights.recency(x, axis(params, "weights"))


def start(spec: Spec, x: Stream, params: Params) -> State:
    """Returns the memory before the first token, [B, H, ...] each; heads may start apart."""
    own = axis(params, "function")
    each = [
        spec.function.init(x.key_dim, x.value_dim, x.k, {n: p[h : h + 1] for n, p in own.items()})
        for h in range(x.heads)
    ]
    stacked = {n: torch.stack([one[n] for one in each]) for n in each[0]}
    return {n: m.expand(x.k.shape[0], *m.shape).clone() for n, m in stacked.items()}


def precise(spec: Spec, *tensors: Tensor) -> list[Tensor]:
    """Returns the tensors in the precision that the spec's ridge asks for.

    In float32 the factor of a nearly singular Gram matrix loses the digits that a small ridge
    leaves, and fails below 1e-5: measured 5e-4 at 0.1, 3e-1 at 1e-4 for keys of rank 4, T = 4096.
    """
    assert isinstance(spec.optimizer, Exact)
    if spec.optimizer.ridge >= SAFE_RIDGE:
        return list(tensors)
    return [tensor.double() for tensor in tensors]


def past(x: Stream, reach: int | None = None) -> State:
    """Keeps the keys, values and signals themselves, for solvers without a running state.

    Args:
        x: all tokens so far.
        reach: how many of the newest pairs may count for a query, itself among them; None for all.
    """
    if reach is not None:
        first = max(0, x.length - reach + 1)
        x = Stream(x.q[:, :, :0], x.k, x.v, x.signals).map(lambda z: z[:, :, first:])
    return {"k": x.k, "v": x.v} | {f"signal.{name}": s for name, s in x.signals.items()}


def with_past(x: Stream, state: State | None) -> Stream:
    """Puts a kept past before the new tokens; the queries stay those of the new ones."""
    if state is None:
        return x
    prefix = "signal."
    signals = {n[len(prefix) :]: s for n, s in state.items() if n.startswith(prefix)}
    return Stream(state["k"][:, :, :0], state["k"], state["v"], signals).then(x)
