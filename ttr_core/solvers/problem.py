"""What a solver gets: a spec whose parts are known to have the traits that it asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..named import Carried, Params, part
from ..space.functions import FeatureModel, FunctionClass, LinearModel
from ..space.losses import Loss
from ..space.optimizers import Optimizer, Sum
from ..space.readouts import Readout, ReadsBefore
from ..space.spec import Spec
from ..space.weights import MemorylessWeights, PositiveWeights, Recency, Weights
from ..stream import Stream

TINY = 1e-30
"""What stands for a weight of 0 where a root or a logarithm of it, which have no slope there, is
taken: far below the precision of any sum, and its gradient is that of the weight itself."""
REACH = 20.0  # how far above the largest weight of a row a kernel may lift one of 0

W_co = TypeVar("W_co", bound=Weights, covariant=True)
F_co = TypeVar("F_co", bound=FunctionClass, covariant=True)
O_co = TypeVar("O_co", bound=Optimizer, covariant=True)


NOTHING = torch.empty(0, 0, 0, 0)
NO_TOKENS = Stream(NOTHING, NOTHING, NOTHING)


@dataclass(frozen=True)
class Problem(Generic[W_co, F_co, O_co]):
    """A spec, its parts narrowed to traits, and what it is to be solved for.

    Args:
        spec: a layer.
        weights: its weights.
        function: its function class.
        optimizer: its optimizer.
        loss: its loss.
        readout: its read-out.
        x: the stream, every tensor with H heads; no tokens where only the parts are asked about.
        params: the spec's parameters by full name, head first.
    """

    spec: Spec
    weights: W_co
    function: F_co
    optimizer: O_co
    loss: Loss
    readout: Readout
    x: Stream = NO_TOKENS
    params: Params = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.spec)

    def own(self, axis: str) -> Carried:
        """Returns the parameters of one axis under the names that its ingredient knows."""
        return part(self.params, axis)

    @property
    def signals(self) -> Params:
        """The stream's signals, and the optimizer's own tensors, head first."""
        return self.signals_of(self.x)

    def signals_of(self, x: Stream) -> Params:
        """Returns the same of another stream."""
        return {**x.signals, **self.own("optimizer")}

    def recency(self: Problem[MemorylessWeights, Any, Any], x: Stream | None = None) -> Recency:
        """Returns the per-token decays and importances."""
        return self.weights.recency(self.x if x is None else x, self.own("weights"))

    def matrix(self, x: Stream) -> Tensor:
        """Returns gamma of one weight per pair, [B, H, Tq, T]."""
        return self.weights.matrix(x, self.own("weights"))[..., 0]

    def log_weights(self: Problem[PositiveWeights, Any, Any], x: Stream) -> Tensor:
        """Returns log gamma of one weight per pair, [B, H, Tq, T], in the precision of the keys.

        A pair of weight 0, whose logarithm has no slope, counts less than any rounding.
        """
        return self.weighed(x)[0]

    def weighed(
        self: Problem[PositiveWeights, Any, Any], x: Stream
    ) -> tuple[Tensor, Tensor | None]:
        """Returns `log_weights`, and where none is above 0, [B, H, Tq, 1]; None for nowhere."""
        own = self.own("weights")
        log = self.weights.log_matrix(x, own)[..., 0].to(x.k.dtype)
        brought = self.weights.importance(x, own)
        return (log, None) if brought is None else _weighed(log, brought.to(log.dtype).mT)

    def phi(self: Problem[Any, LinearModel, Any]) -> Callable[[Tensor], Tensor]:
        """Returns the feature map, [..., K] -> [..., F]."""
        model, own = self.function, self.own("function")
        return lambda x: model.features(x, own)

    def features(
        self: Problem[Any, LinearModel, Any], x: Stream | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns phi(q) and phi(k), [B, H, T, F] each."""
        x, phi = self.x if x is None else x, self.phi()
        return phi(x.q), phi(x.k)

    def inner_products(self: Problem[Any, FeatureModel, Any], a: Tensor, b: Tensor) -> Tensor:
        """Returns phi(a) . phi(b), [..., A, B], in the precision of a."""
        own = {
            n: p.to(a.dtype) if p.is_floating_point() else p
            for n, p in self.own("function").items()
        }
        return self.function.inner_products(a, b, own)

    def values(self, x: Stream | None = None) -> Tensor:
        """Returns the values, with a column of ones after them if the readout divides."""
        v = (self.x if x is None else x).v
        return torch.cat([v, torch.ones_like(v[..., :1])], -1) if self.readout.divides else v

    def summed_values(self: Problem[Any, Any, Sum], x: Stream | None = None) -> Tensor:
        """Returns the same times what multiplies each pair beside its weight."""
        x = self.x if x is None else x
        factor = self.optimizer.factor(self.signals_of(x))
        return self.values(x) if factor is None else factor * self.values(x)

    def read(self, y: Tensor) -> Tensor:
        """Returns the outputs from what was fitted to `values`."""
        divides = self.readout.divides
        return self.readout(y[..., :-1], y[..., -1:]) if divides else self.readout(y, None)

    def newest(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        """Returns what each token's own pair adds to a memory read before it, [B, H, T, V].

        Args:
            q: features of the queries.
            k: features of the keys.
            v: values times their importance.
        """
        if not isinstance(self.readout, ReadsBefore):
            return None
        return self.readout.newest(q, k, self.own("readout")) * v


def rooted(importance: Tensor) -> Tensor:
    """Returns the root of weights, with a slope at 0, too."""
    return (importance + TINY).sqrt()


def _weighed(log: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Multiplies weights, given by their log [B, H, Tq, T], by what pairs bring, [B, H, 1, T]."""
    with torch.no_grad():
        top = (log + importance.log()).amax(-1, keepdim=True)
        empty = top == -math.inf
        most = top + REACH
        above = (importance == 0) & (log > most) & ~empty
    return torch.where(above, most, log) + (importance + TINY).log(), empty
