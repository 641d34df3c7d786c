"""Weights by spans of the past that double: a Fenwick tree's."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..option import option
from ..terms import Form, Index, Letter, Term
from .base import PositiveWeights, Recency, future

TINY = 1e-30  # added to a weight of 0, whose logarithm has no slope


class SpannedWeights(PositiveWeights):
    r"""Trait: $\gamma_i^{(t)} = \lambda_t^{(\ell_{ti})} w_i \prod_{j=i+1}^t a_j$.

    The pairs of one span count by one number of the newest token beside what is memoryless, so
    that a running sum for each span is enough.
    """

    phrase: ClassVar[str] = "memoryless, but for a number per span of the past"

    @property
    @abc.abstractmethod
    def count(self) -> int:
        """The number of levels."""

    @abc.abstractmethod
    def levels_at(self, x: Stream, params: Params) -> Tensor:
        """Returns lambda of every token and level, [B, H, T, L]."""

    @abc.abstractmethod
    def recency(self, x: Stream, params: Params) -> Recency:
        """Returns the decays a and what pairs bring along, w."""


@dataclass(frozen=True)
class Fenwick(SpannedWeights):
    r"""Pairs count by spans of 1, 1, 2, 4, ... tokens back, as each token weighs them.

    $$\gamma_i^{(t)} = \lambda_t^{(\ell)}, \qquad
    \ell = 1 + \lfloor \log_2 ((t - 1) \oplus (i - 1)) \rfloor, \quad
    \ell = 0 \text{ at } i = t$$

    with $\oplus$ the digits in which two numbers differ in base 2.

    What is near is told apart finely, what is far roughly: log T memories in place of one, or of T.
    Spans beyond the last level count as it. Signal ``levels``: $\lambda_t$, one number per level.

    Args:
        levels: how many; n tell 2^(n - 1) tokens apart.

    Reference: Log-Linear Attention (Guo et al., 2025) https://arxiv.org/abs/2506.04761
    """

    levels: int = option(16, "levels of spans, the token's own among them", 2, 32)
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()  # by its name, not in the grid
    momentary: ClassVar[tuple[str, ...]] = ("levels",)

    @property
    def signals(self) -> tuple[Signal, ...]:
        help = "how much pairs of each span count"
        return (Signal("levels", f"{self.levels}*scalar", "softplus", 1.0, 0.01, 4.0, help),)

    @property
    def count(self) -> int:
        return self.levels

    def levels_at(self, x: Stream, params: Params) -> Tensor:
        return x.signals["levels"]

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(None, None)

    @property
    def reads_past(self) -> bool:
        return True  # a span is told by places, which count from the first token

    @property
    def spans(self) -> bool:
        return True

    def written(self, primes: int = 0) -> Term:
        where = (
            r"\ell_{ti} = 1 + \lfloor \log_2 ((t - 1) \oplus (i - 1)) \rfloor,\quad \ell_{tt} = 0,"
            rf"\quad \text{{at most }} {self.levels - 1}"
        )
        each = Letter("levels", r"\lambda_t", ("t",), where)
        return Form(r"{0}^{{(\ell_{{ti}})}}", self._at, (each, Index("t"), Index("i")))

    def _at(self, each: Tensor, t: int, i: int) -> Tensor:
        return each[min(((t - 1) ^ (i - 1)).bit_length(), self.levels - 1)]

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        place = torch.arange(x.k.shape[2], device=x.k.device)
        rows = place[x.k.shape[2] - x.q.shape[2] :, None]
        highest = torch.frexp((rows ^ place).double()).exponent  # the number of binary digits
        level = highest.clamp_max(self.levels - 1).long()
        logs = (x.signals["levels"][:, :, x.k.shape[2] - x.q.shape[2] :] + TINY).log()
        gamma = logs.gather(-1, level.expand(*logs.shape[:2], *level.shape))
        return gamma.masked_fill(future(x), -math.inf)[..., None]
