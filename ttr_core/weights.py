"""First axis: how much each past pair counts at each token.

The definition of a choice is `Weights.matrix`: gamma[t, i], zero above the diagonal. Weights
multiply (``Gate * ExpKernel`` is the forgetting transformer).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor

from .errors import RequestError
from .ingredient import Ingredient, option
from .stream import Signal, Stream

Params = Mapping[str, Tensor]
Part = TypeVar("Part", bound="Weights")

DECAY = Signal("decay", "scalar", "log_sigmoid", None, -3.0, 0.0, "log of the share kept per token")
CHANNEL_DECAY = replace(DECAY, width="feature", help="log of the share kept, per feature")
IMPORTANCE = Signal(
    "importance", "scalar", "sigmoid", 0.5, 0.01, 1.0, "weight with which the pair is written"
)


class Recency(NamedTuple):
    """Memoryless weights, token by token; None where a factor is 1 everywhere.

    Args:
        log_decay: log of what is kept of the past at each token, [B, H, T, 1 or F], <= 0.
        importance: weight of each token's own pair, [B, H, T, 1], > 0.
    """

    log_decay: Tensor | None
    importance: Tensor | None


class Weights(Ingredient):
    """A family of regression weights."""

    family: ClassVar[str] = "weights"
    phrase: ClassVar[str] = "regression weights"

    @abc.abstractmethod
    def matrix(self, x: Stream, params: Params) -> Tensor:
        """Returns gamma[t, i], [B, H, Tq, T, w] with w = 1 or F; zero where i > t."""

    @property
    def per_feature(self) -> bool:
        """Whether there is one weight per feature rather than one per pair."""
        return any(signal.width == "feature" for signal in self.signals)

    def factors(self) -> tuple[Weights, ...]:
        """Returns what the weights are a product of; themselves unless they are a product."""
        return (self,)

    def __mul__(self, other: Weights) -> Weights:
        """Returns the product, factors in canonical order."""
        return product((*self.factors(), *other.factors()))


class PositiveWeights(Weights):
    """Trait: weights that are positive, given by their logarithm."""

    phrase: ClassVar[str] = "positive"

    @abc.abstractmethod
    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        """Returns log gamma[t, i], [B, H, Tq, T, w]; -inf where i > t."""

    def matrix(self, x: Stream, params: Params) -> Tensor:
        return self.log_matrix(x, params).exp()


class MemorylessWeights(PositiveWeights):
    r"""Trait: $\gamma_i^{(t)} = b_i \prod_{j=i+1}^{t} a_j$, so a running state carries the past."""

    phrase: ClassVar[str] = "memoryless, a product of per-token decays"

    @abc.abstractmethod
    def recency(self, x: Stream, params: Params) -> Recency:
        """Returns the per-token decays and importances."""

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        log_decay, importance = self.recency(x, params)
        ones = torch.zeros_like(x.k[..., :1])
        total = (ones if log_decay is None else log_decay).cumsum(2)
        rows = total[:, :, total.shape[2] - x.q.shape[2] :]
        log = rows[:, :, :, None] - total[:, :, None]
        if importance is not None:
            log = log + importance.log()[:, :, None]
        return log.masked_fill(future(x)[..., None], -math.inf)


def future(x: Stream) -> Tensor:
    """Returns where key i lies after query t, [Tq, T]; queries are the last tokens."""
    queries, keys = x.q.shape[2], x.k.shape[2]
    ones = torch.ones(queries, keys, dtype=torch.bool, device=x.k.device)
    return ones.triu(keys - queries + 1)


def constant_signal(value: Tensor, x: Stream) -> Tensor:
    """Spreads one number per head, [H], over the tokens of a stream, [B, H, T, 1]."""
    shape = (x.k.shape[0], value.shape[0], x.k.shape[2], 1)
    return value.to(x.k.dtype)[None, :, None, None].expand(shape)


@dataclass(frozen=True)
class Uniform(MemorylessWeights):
    r"""Every past pair counts the same.

    $$\gamma_i^{(t)} = 1$$

    Nothing is forgotten: right for a stationary relation between keys and values, wrong when
    it changes.

    Example:
        >>> import ttr_core as ttr
        >>> str(ttr.Spec.parse("Uniform | Linear | Hebbian"))
        'Uniform | Linear | Hebbian'
    """

    notation: ClassVar[str] = "1"

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(None, None)


@dataclass(frozen=True)
class Decay(MemorylessWeights):
    r"""The past fades at a fixed rate per head.

    $$\gamma_i^{(t)} = \gamma^{t-i}$$

    Args:
        gamma: share kept per token, in (0, 1]; None takes RetNet's $1 - 2^{-5-h}$ for head h.

    Reference: Retentive Network: A Successor to Transformer for Large Language Models (Sun et
    al., 2023) https://arxiv.org/abs/2307.08621

    Example:
        >>> import ttr_core as ttr
        >>> str(ttr.Spec.parse("Decay(gamma=0.9) | Linear | Hebbian"))
        'Decay(gamma=0.9) | Linear | Hebbian'
    """

    gamma: float | None = option(
        None, "share kept per token; none: RetNet's 1 - 2^(-5-h) for head h", low=1e-6, high=1.0
    )
    notation: ClassVar[str] = r"\gamma^{t-i}"

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        # In float64: an error of a logarithm grows with the length of the sequence.
        head = torch.arange(heads, dtype=torch.float64)
        if self.gamma is not None:
            return {"log_decay": torch.full_like(head, math.log(self.gamma))}
        return {"log_decay": torch.log1p(-(2.0 ** -(5.0 + head)))}

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(constant_signal(params["log_decay"], x), None)


@dataclass(frozen=True)
class Gate(MemorylessWeights):
    r"""The past fades by a share that each token chooses.

    $$\gamma_i^{(t)} = \prod_{j=i+1}^{t} a_j, \qquad a_j \in (0, 1]$$

    The forget gate of Mamba-2, Gated DeltaNet and the forgetting transformer. Signal ``decay``:
    $\log a_j$, one per token and head.

    Reference: Transformers are SSMs (Dao and Gu, 2024) https://arxiv.org/abs/2405.21060
    """

    notation: ClassVar[str] = r"\prod_{j=i+1}^{t} a_j"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (DECAY,)

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(x.signals["decay"], None)


@dataclass(frozen=True)
class ChannelGate(MemorylessWeights):
    r"""Each feature of the keys fades by a share of its own.

    $$\gamma_i^{(t)} = \prod_{j=i+1}^{t} a_j, \qquad a_j \in (0, 1]^F$$

    A vector is no regression weight: it stands for keys that decay, $k_i^{(t)} = \gamma_i^{(t)}
    \circ \phi(k_i)$, with values that do not. Signal ``decay``: $\log a_j$, F per token and head.

    Reference: Gated Linear Attention Transformers with Hardware-Efficient Training (Yang et
    al., 2023) https://arxiv.org/abs/2312.06635
    """

    notation: ClassVar[str] = r"\prod_{j=i+1}^{t} a_j \in (0,1]^F"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (CHANNEL_DECAY,)

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(x.signals["decay"], None)


@dataclass(frozen=True)
class Importance(MemorylessWeights):
    r"""Each pair counts by a weight that it brings along.

    $$\gamma_i^{(t)} = b_i, \qquad b_i > 0$$

    The input gate (mLSTM, Mamba's $\Delta$, MesaNet's $\beta$). Signal ``importance``: $b_i$,
    one per token and head.

    Reference: xLSTM: Extended Long Short-Term Memory (Beck et al., 2024)
    https://arxiv.org/abs/2405.04517
    """

    notation: ClassVar[str] = "b_i"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (IMPORTANCE,)

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(None, x.signals["importance"])


@dataclass(frozen=True)
class ExpKernel(PositiveWeights):
    r"""Pairs count by how well their key matches the query.

    $$\gamma_i^{(t)} = \exp(s\, q_t^\top k_i)$$

    With a constant fitted to them this is softmax attention. On unit keys it is a Gaussian
    kernel of bandwidth $s^{-1/2}$; at $s = 1/\sqrt{K}$ it is then nearly uniform, so the scale
    matters more than any other setting.

    Args:
        scale: s; None takes $1/\sqrt{K}$.

    Reference: Attention Is All You Need (Vaswani et al., 2017) https://arxiv.org/abs/1706.03762
    """

    scale: float | None = option(
        None, "sharpness of the kernel; none: 1 / sqrt(K)", low=0.0, high=1000.0
    )
    notation: ClassVar[str] = r"\exp(s\,q_t^\top k_i)"

    def logit_scale(self, key_dim: int) -> float:
        """Returns s for keys of this size."""
        return key_dim**-0.5 if self.scale is None else self.scale

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        logits = x.q @ x.k.mT * self.logit_scale(x.key_dim)
        return logits.masked_fill(future(x), -math.inf)[..., None]


@dataclass(frozen=True)
class Multiplied(PositiveWeights, abc.ABC):
    """Weights that are a product of others; written ``A * B``."""

    parts: tuple[PositiveWeights, ...]

    @classmethod
    def listed(cls) -> bool:
        return False

    def factors(self) -> tuple[Weights, ...]:
        return self.parts

    @property
    def signals(self) -> tuple[Signal, ...]:
        return tuple(
            replace(signal, name=name)
            for part, names in zip(self.parts, _names(self.parts), strict=True)
            for signal, name in zip(part.signals, names, strict=True)
        )

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        each = [part.parameters(key_dim, value_dim, heads) for part in self.parts]
        return {f"{i}.{name}": value for i, own in enumerate(each) for name, value in own.items()}

    def text(self, expanded: bool = False) -> str:
        return " * ".join(part.text(expanded) for part in self.parts)


@dataclass(frozen=True)
class Product(Multiplied):
    """Positive weights multiplied, at least one of them a kernel."""

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        views = _views(self.parts, x, params)
        first, *rest = [part.log_matrix(view, own) for part, view, own in views]
        for log in rest:
            first = first + log
        return first


@dataclass(frozen=True)
class MemorylessProduct(Multiplied, MemorylessWeights):
    """Memoryless weights multiplied, which stay memoryless."""

    def recency(self, x: Stream, params: Params) -> Recency:
        memoryless = tuple(part for part in self.parts if isinstance(part, MemorylessWeights))
        each = [part.recency(view, own) for part, view, own in _views(memoryless, x, params)]
        decays = [r.log_decay for r in each if r.log_decay is not None]
        weights = [r.importance for r in each if r.importance is not None]
        log_decay = sum(decays[1:], decays[0]) if decays else None
        return Recency(log_decay, math.prod(weights[1:], start=weights[0]) if weights else None)


LISTED_PRODUCTS: tuple[str, ...] = (
    "Gate * Importance",
    "ChannelGate * Importance",
    "Decay * ExpKernel",
    "Gate * ExpKernel",
    "Importance * ExpKernel",
)
"""The products that the grid lists; any other can be written."""

MAX_FACTORS = 6


def product(parts: tuple[Weights, ...]) -> Weights:
    """Multiplies weights; memoryless factors first, then kernels, each by name.

    Raises:
        RequestError: a factor that is not positive, or more factors than anyone needs.
    """
    positive = [part for part in parts if isinstance(part, PositiveWeights)]
    if len(positive) < len(parts):
        odd = next(part for part in parts if not isinstance(part, PositiveWeights))
        raise RequestError(f"{odd} does not multiply: only positive weights do.")
    if len(parts) > MAX_FACTORS:
        raise RequestError(f"{len(parts)} factors of weights; write at most {MAX_FACTORS}.")
    order = sorted(positive, key=lambda p: (not isinstance(p, MemorylessWeights), str(p)))
    kept = [p for p in order if not isinstance(p, Uniform)] or order[:1]
    if len(kept) == 1:
        return kept[0]
    memoryless = [p for p in kept if isinstance(p, MemorylessWeights)]
    if len(memoryless) == len(kept):
        return MemorylessProduct(tuple(memoryless))
    return Product(tuple(kept))


def _names(parts: tuple[Weights, ...]) -> list[list[str]]:
    """Names of the factors' signals within the product: repeated ones are numbered from 1."""
    seen: dict[str, int] = {}
    names = []
    for part in parts:
        own = []
        for signal in part.signals:
            count = seen.get(signal.name, 0)
            seen[signal.name] = count + 1
            own.append(f"{signal.name}.{count}" if count else signal.name)
        names.append(own)
    return names


def _views(
    parts: tuple[Part, ...], x: Stream, params: Params
) -> list[tuple[Part, Stream, dict[str, Tensor]]]:
    """Each factor with the stream and parameters under the names it knows."""
    views = []
    for index, (part, names) in enumerate(zip(parts, _names(parts), strict=True)):
        pairs = zip(part.signals, names, strict=True)
        own_signals = {signal.name: x.signals[name] for signal, name in pairs}
        prefix = f"{index}."
        own = {n[len(prefix) :]: p for n, p in params.items() if n.startswith(prefix)}
        views.append((part, replace(x, signals=own_signals), own))
    return views
