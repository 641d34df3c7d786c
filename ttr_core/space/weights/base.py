"""First axis: how much each past pair counts at each token.

The definition of a choice is `Weights.matrix`: gamma[t, i], zero above the diagonal. Weights
multiply (``Gate * ExpKernel`` is the forgetting transformer).
"""

from __future__ import annotations

import abc
import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from ...fading import log_between
from ...named import Params
from ...stream import Signal, Stream
from ..fates import Fate
from ..ingredient import Ingredient, choices
from ..sharpness import Comparison
from ..terms import ONE, Letter, Term, since

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from ..spec import Spec

DECAY = Signal("decay", "scalar", "log_sigmoid", None, -3.0, 0.0, "log of the share kept per token")
CHANNEL_DECAY = replace(DECAY, width="feature", help="log of the share kept, per feature")
IMPORTANCE = Signal(
    "importance",
    "scalar",
    "sigmoid",
    0.5,
    0.01,
    1.0,
    "weight with which the pair is written",
    most=math.inf,
)


class Recency(NamedTuple):
    """Memoryless weights, token by token; None where a factor is 1 everywhere.

    Args:
        log_decay: log of what is kept of the past at each token, [B, H, T, 1 or F], <= 0.
        importance: weight of each token's own pair, [B, H, T, 1], >= 0.
    """

    log_decay: Tensor | None
    importance: Tensor | None


class Weights(Ingredient):
    """A family of regression weights."""

    family: ClassVar[str] = "weights"
    phrase: ClassVar[str] = "regression weights"
    momentary: ClassVar[tuple[str, ...]] = ()  # signals that no later token needs

    @abc.abstractmethod
    def matrix(self, x: Stream, params: Params) -> Tensor:
        """Returns gamma[t, i], [B, H, Tq, T, w] with w = 1 or F; zero where i > t."""

    @property
    def per_feature(self) -> bool:
        """Whether there is one weight per feature rather than one per pair."""
        return any(signal.width == "feature" for signal in self.signals)

    @property
    def fades(self) -> bool:
        """Whether a pair ever counts less because it is older."""
        return False

    @property
    def reach(self) -> int | None:
        """How many of the newest pairs may count; None for all."""
        return None

    @property
    def spans(self) -> bool:
        """Whether each token weighs whole spans of the past."""
        return False

    @property
    def reads_past(self) -> bool:
        """Whether a pair's weight depends on others before it, so that all of them are needed."""
        return False

    @property
    def forgetting(self) -> tuple[Fate, ...]:
        """What becomes of old pairs whatever the fit; nothing where the optimizer decides."""
        if self.reach is not None:
            return (Fate.GONE,)
        if self.spans:
            return (Fate.SPANS,)
        if self.asks_query:
            return (Fate.QUERY_FADES if self.fades else Fate.QUERY,)
        return ()

    @property
    def asks_query(self) -> bool:
        """Whether a pair counts differently for another query."""
        return any(isinstance(p, Letter) and p.name == "q" for p in self.written().walk())

    def factors(self) -> tuple[Weights, ...]:
        """Returns what the weights are a product of; themselves unless they are a product."""
        return (self,)

    def written(self, primes: int = 0) -> Term:
        """Returns gamma of pair i at token t.

        Args:
            primes: how many factors of the same kind stand before this one in a product.
        """
        return Letter("gamma", self.notation, ("t", "i"))

    def proportional(self, primes: int = 0) -> Term:
        """Returns gamma up to a factor that all pairs share, where that is plainer."""
        return self.written(primes)

    def kept(self, index: str, primes: int = 0) -> Term:
        """Returns what is left of the past at a token, a factor; 1 unless a state carries it."""
        return ONE

    def brought(self, index: str, primes: int = 0) -> Term:
        """Returns the weight that a token's own pair brings along."""
        return ONE

    def elapsed(self, primes: int = 0) -> Term:
        """Returns what is left at token t of pair i."""
        return since(self.kept("j", primes)) if self.fades else ONE

    def __mul__(self, other: Weights) -> Weights:
        """Returns the product, factors in canonical order."""
        from .products import product

        return product((*self.factors(), *other.factors()))


class SignedWeights(Weights):
    """Trait: weights of either sign, under which a least-squares fit need not have a minimum."""

    phrase: ClassVar[str] = "of either sign"

    @property
    @abc.abstractmethod
    def negative(self) -> str:
        """Which pairs may count negatively, in words."""

    def objection(self, spec: Spec) -> str | None:
        if not spec.optimizer.takes_signed:
            known = cast("tuple[type[Optimizer], ...]", choices("optimizer"))
            able = " or ".join(cls.name for cls in known if cls.takes_signed)
            return (
                f"{self.name} weighs {self.negative} negatively, and {spec.optimizer} has no fit "
                f"to negative weights: it needs the optimizer {able}."
            )
        return super().objection(spec)


class PositiveWeights(Weights):
    """Trait: weights that are positive, given by their logarithm.

    What a pair brings along is apart from it: it may be 0, where a logarithm has no slope.
    """

    phrase: ClassVar[str] = "positive"

    @abc.abstractmethod
    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        """Returns log gamma[t, i] over `importance`, [B, H, Tq, T, w]; -inf where i > t."""

    def importance(self, x: Stream, params: Params) -> Tensor | None:
        """Returns the weight that each pair brings along, [B, H, T, 1], >= 0; None for 1."""
        return None

    def matrix(self, x: Stream, params: Params) -> Tensor:
        gamma, brought = self.log_matrix(x, params).exp(), self.importance(x, params)
        return gamma if brought is None else gamma * brought[:, :, None]


class DotProductKernel(PositiveWeights, Comparison):
    r"""Trait: $\gamma_i^{(t)} = \exp(s (q_t^\top k_i - 1))$, what fused attention computes."""

    phrase: ClassVar[str] = "a kernel of the product of query and key"

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        logits = (x.q @ x.k.mT - 1) * self.sharpness(x.q, params)
        return logits.masked_fill(future(x), -math.inf)[..., None]


class RotatingWeights(SignedWeights):
    r"""Trait: $\gamma_i^{(t)} = \cos(\omega (t - i))$, which two numbers carry along."""

    phrase: ClassVar[str] = "a cosine of the distance"

    @property
    def forgetting(self) -> tuple[Fate, ...]:
        return (Fate.TURN,)

    @property
    @abc.abstractmethod
    def rate(self) -> float:
        """omega, the angle per token."""

    def matrix(self, x: Stream, params: Params) -> Tensor:
        queries, keys = x.q.shape[2], x.k.shape[2]
        place = torch.arange(keys, dtype=torch.float64, device=x.k.device)
        distance = place[keys - queries :, None] - place
        gamma = torch.cos(self.rate * distance).masked_fill(future(x), 0.0)
        return gamma.to(x.k.dtype)[None, None, :, :, None]


class RunningWeights(PositiveWeights):
    r"""Trait: $\gamma_i^{(t)} = b_i \prod_{j=i+1}^{t} a_j$ within their reach, 0 beyond it.

    What has left the reach leaves a running memory wholly: the memory at a token is what a pass
    over the pairs within reach makes, from the start.
    """

    phrase: ClassVar[str] = "memoryless, a product of per-token decays, if within a window"

    @property
    @abc.abstractmethod
    def inside(self) -> MemorylessWeights:
        """The weights without their end."""


class MemorylessWeights(RunningWeights):
    r"""Trait: $\gamma_i^{(t)} = b_i \prod_{j=i+1}^{t} a_j$, so a running state carries the past."""

    phrase: ClassVar[str] = "memoryless, a product of per-token decays"

    @property
    def fades(self) -> bool:
        return True

    @property
    def inside(self) -> MemorylessWeights:
        return self

    def written(self, primes: int = 0) -> Term:
        if self.notation:
            return super().written(primes)
        return self.brought("i", primes) * self.elapsed(primes)

    def kept(self, index: str, primes: int = 0) -> Term:
        return Letter("kept", f"a_{index}", (index,)) if self.fades else ONE

    @abc.abstractmethod
    def recency(self, x: Stream, params: Params) -> Recency:
        """Returns the per-token decays and importances."""

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        log_decay = self.recency(x, params).log_decay
        if log_decay is None:
            still = torch.zeros_like(x.k[..., 0])[:, :, None]
            return still.masked_fill(future(x), -math.inf)[..., None]
        return log_between(log_decay.mT[..., None], x.q.shape[2]).movedim(2, -1)

    def importance(self, x: Stream, params: Params) -> Tensor | None:
        return self.recency(x, params).importance


class SteadyWeights(MemorylessWeights):
    r"""Trait: $\gamma_i^{(t)} = \gamma^{t-i}$, a share per head that no token changes."""

    phrase: ClassVar[str] = "one decay per head, the same at every token"

    @abc.abstractmethod
    def log_share(self, params: Params, dtype: torch.dtype) -> Tensor:
        """Returns log gamma, [H], in this type or a more precise one."""

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(constant_signal(self.log_share(params, x.k.dtype), x), None)


def future(x: Stream) -> Tensor:
    """Returns where key i lies after query t, [Tq, T]; queries are the last tokens."""
    queries, keys = x.q.shape[2], x.k.shape[2]
    ones = torch.ones(queries, keys, dtype=torch.bool, device=x.k.device)
    return ones.triu(keys - queries + 1)


def constant_signal(value: Tensor, x: Stream) -> Tensor:
    """Spreads one number per head, [H], over the tokens of a stream, [B, H, T, 1]."""
    shape = (x.k.shape[0], value.shape[0], x.k.shape[2], 1)
    return value.to(x.k.dtype)[None, :, None, None].expand(shape)


def signal_letter(letter: str, signal: str, index: str, primes: int) -> Letter:
    """Returns the letter of a signal; those of further factors of a product are primed."""
    name = f"{signal}.{primes}" if primes else signal
    return Letter(name, letter + "'" * primes + f"_{index}", (index,))
