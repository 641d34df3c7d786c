"""Weights of a pair that is written twice: as it comes, and once more with the next token."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..terms import Form, Index, Letter, Term
from .base import PositiveWeights, Recency, future

TINY = 1e-30  # added to a weight of 0, whose logarithm has no slope


class Writes(NamedTuple):
    """What the two writes of a pair weigh.

    Args:
        own: b, that of the newest pair, [B, H, T, 1].
        later: c, that of the pair before it, [B, H, T, 1].
    """

    own: Tensor
    later: Tensor


class TwiceWritten(PositiveWeights):
    r"""Trait: $\gamma_i^{(t)} = (b_i + \mathbf 1[t > i]\, c_{i+1})\, w_i \prod_{j=i+1}^t a_j$.

    A running state carries the past, and the newest pair beside it, which the next token writes
    once more.
    """

    phrase: ClassVar[str] = "memoryless, but for a pair that the next token writes once more"

    @abc.abstractmethod
    def taps(self, x: Stream, params: Params) -> Writes:
        """Returns the weights of both writes."""

    @abc.abstractmethod
    def recency(self, x: Stream, params: Params) -> Recency:
        """Returns the decays a and what pairs bring along beside, w."""


@dataclass(frozen=True)
class TwoTaps(TwiceWritten):
    r"""Each pair is written as it comes, and once more with the next token.

    $$\gamma_i^{(t)} = b_i + \mathbf 1[t > i]\, c_{i+1}, \qquad b, c \ge 0$$

    What a discretization of second order makes of an input that lies between two tokens: at $b = c
    = \Delta / 2$ the trapezoid's rule, at $c = 0$ it is `Importance`. Times a `Gate` the write of
    Mamba-3. Signal ``taps``: $b_t$ and $c_t$, two numbers per token and head.

    Reference: Mamba-3: Improved Sequence Modeling using State Space Principles (Lahoti et al.,
    2026) https://arxiv.org/abs/2603.15569
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        help = "weights with which the newest pair is written, and the one before once more"
        return (Signal("taps", "2*scalar", "sigmoid", 0.5, 0.01, 1.0, help, most=math.inf),)

    @property
    def reads_past(self) -> bool:
        return True

    def written(self, primes: int = 0) -> Term:
        name = f"taps.{primes}" if primes else "taps"
        b, c = (letter + "'" * primes for letter in "bc")
        taps = Letter(name, "", (), rf"{b}_t, {c}_t \text{{ each token's own}}")
        pattern = rf"\big({b}_i + \mathbf{{{{1}}}}[{{1}} > {{2}}]\, {c}_{{{{i+1}}}}\big){{0}}"
        return Form(pattern, _of_pair, (taps, Index("t"), Index("i")))

    def brought(self, index: str, primes: int = 0) -> Term:
        if index == "i":
            return self.written(primes)
        name = f"taps.{primes}" if primes else "taps"
        return Form("{0}", _own, (Letter(name, "b" + "'" * primes + f"_{index}", (index,)),))

    def taps(self, x: Stream, params: Params) -> Writes:
        own, later = x.signals["taps"].split(1, -1)
        return Writes(own, later)

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(None, None)

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        own, later = self.taps(x, params)
        then = torch.cat([own[:, :, :-1] + later[:, :, 1:], own[:, :, -1:]], 2)
        rows = slice(x.k.shape[2] - x.q.shape[2], None)
        place = torch.arange(x.k.shape[2], device=x.k.device)
        newest = place[rows, None] == place  # (Tq T)
        log = torch.where(newest, (own + TINY).log().mT, (then + TINY).log().mT)
        return log.masked_fill(future(x), -math.inf)[..., None]


def _of_pair(taps: Tensor, t: int, i: int) -> Tensor:
    own = taps[i - 1, 0]
    return own + taps[i, 1] if t > i else own


def _own(taps: Tensor) -> Tensor:
    return taps[0]
