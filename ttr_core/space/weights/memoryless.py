"""Weights that a running state can carry: decays, gates, importance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..option import option
from ..terms import ATOM, ONE, Form, Index, Let, Letter, Numeral, Term
from .base import (
    CHANNEL_DECAY,
    DECAY,
    IMPORTANCE,
    MemorylessWeights,
    Recency,
    SteadyWeights,
    signal_letter,
)


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

    @property
    def fades(self) -> bool:
        return False

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(None, None)


LONE = 7  # which of RetNet's heads a lone one is
LONGEST = 1 - 2.0 ** -(5 + LONE)  # the share that it keeps


@dataclass(frozen=True)
class Decay(SteadyWeights):
    r"""The past fades at a fixed rate per head.

    $$\gamma_i^{(t)} = \gamma^{t-i}$$

    Args:
        gamma: share kept per token, in (0, 1]; None takes one for each head: RetNet's
            $1 - 2^{-5-h}$ for head h from 0 on. A lone head takes h = 7, RetNet's last of eight:
            what fades before it is asked for is not learned.
        slope: where gamma is None, e > 0 for ALiBi's shares in place of RetNet's,
            $\exp(-2^{-e (h + 1) / H})$; the paper's e is 8.

    Reference: Retentive Network: A Successor to Transformer for Large Language Models (Sun et
    al., 2023) https://arxiv.org/abs/2307.08621

    Example:
        >>> import ttr_core as ttr
        >>> str(ttr.Spec.parse("Decay(gamma=0.9) | Linear | Hebbian"))
        'Decay(gamma=0.9) | Linear | Hebbian'
    """

    revision: ClassVar[int] = 2

    gamma: float | None = option(
        None,
        "share kept per token; none: RetNet's 1 - 2^(-5-h) for head h, h = 7 for a lone one",
        1e-6,
        1.0,
        tune=(0.5, 0.8, 0.9, 0.95, 0.99, 0.999),
    )
    slope: float | None = option(
        None, "e of ALiBi's shares exp(-2^(-e (h + 1) / H)); none: RetNet's", 0.01, 64.0, since=2
    )

    @property
    def fades(self) -> bool:
        return self.gamma != 1

    def kept(self, index: str, primes: int = 0) -> Term:
        if self.gamma is not None:
            return ONE if self.gamma == 1 else Numeral(self.gamma)
        head = Letter("head", "h")
        share = Form("1 - 2^{{-5-h}}", _of_head, (head,))
        if self.slope is not None:
            arguments = (Numeral(self.slope), head, Letter("heads", "H"))
            share = Form(r"\exp(-2^{{-{0} ({1} + 1) / {2}}})", _biased, arguments)
        return Let(r"\gamma" + "'" * primes, share)

    def elapsed(self, primes: int = 0) -> Term:
        return power_of_lag(self.kept("t", primes))

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        # In float64: an error of a logarithm grows with the length of the sequence.
        first = LONE if heads == 1 and self.slope is None else 0
        head = torch.arange(first, first + heads, dtype=torch.float64)
        if self.gamma is not None:
            return {"log_decay": torch.full_like(head, math.log(self.gamma))}
        if self.slope is not None:
            return {"log_decay": -(2.0 ** (-self.slope * (head + 1) / heads))}
        return {"log_decay": torch.log1p(-(2.0 ** -(5.0 + head)))}

    def log_share(self, params: Params, dtype: torch.dtype) -> Tensor:
        return params["log_decay"]


@dataclass(frozen=True)
class Gate(MemorylessWeights):
    r"""The past fades by a share that each token chooses.

    $$\gamma_i^{(t)} = \prod_{j=i+1}^{t} a_j, \qquad a_j \in (0, 1]$$

    The forget gate of Mamba-2, Gated DeltaNet and the forgetting transformer. Signal ``decay``:
    $\log a_j$, one per token and head.

    Reference: Transformers are SSMs (Dao and Gu, 2024) https://arxiv.org/abs/2405.21060
    """

    def kept(self, index: str, primes: int = 0) -> Term:
        return signal_letter("a", "decay", index, primes)

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

    def kept(self, index: str, primes: int = 0) -> Term:
        return signal_letter("a", "decay", index, primes)

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

    def brought(self, index: str, primes: int = 0) -> Term:
        return signal_letter("b", "importance", index, primes)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (IMPORTANCE,)

    @property
    def fades(self) -> bool:
        return False

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(None, x.signals["importance"])


def power_of_lag(base: Term) -> Term:
    """Returns a constant share to the power of the distance of pair i."""
    if base == ONE:
        return ONE
    return Form("{0}^{{t-i}}", _power, (base, Index("t"), Index("i")), (ATOM, ATOM, ATOM))


def _power(base: Tensor | float, t: int, i: int) -> Tensor | float:
    return base ** (t - i)


def _of_head(head: int) -> float:
    return 1 - 2.0 ** (-5 - head)


def _biased(slope: float, head: int, heads: int) -> float:
    return math.exp(-(2.0 ** (-slope * (head + 1) / heads)))
