"""Weights that end some tokens back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...named import Params
from ...stream import Stream
from ..option import option
from ..terms import Form, Index, Numeral, Term
from .base import MemorylessWeights, RunningWeights, future
from .memoryless import Uniform


@dataclass(frozen=True)
class Window(RunningWeights):
    r"""The newest pairs count, all others do not.

    $$\gamma_i^{(t)} = 1 \text{ if } t - i < n, \text{ else } 0$$

    Under a kernel sliding-window attention: ``Window * ExpKernel``. What leaves the window leaves
    the fit at once and wholly, where a decay fades it, so that the pairs of the window are kept. A
    memory that takes them one by one starts anew at each token and passes over its window alone:
    with `RLS` the sliding recursive least squares, whose fit is that of `Exact`. Steps that go on
    from a running memory, over the newest pairs at once (the Omega rule), are no such weights:
    their memory holds what has left the window.

    Args:
        size: n, the newest pairs that count, the token's own among them.

    Reference: Longformer: The Long-Document Transformer (Beltagy et al., 2020)
    https://arxiv.org/abs/2004.05150
    """

    size: int = option(16, "newest pairs that count, the token's own among them", 1, 1 << 20)

    def written(self, primes: int = 0) -> Term:
        inside = r"\mathbf{{1}}[{0} - {1} < {2}]"
        return Form(inside, _inside, (Index("t"), Index("i"), Numeral(self.size)))

    @property
    def inside(self) -> MemorylessWeights:
        return Uniform()

    @property
    def reach(self) -> int | None:
        return self.size

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        hidden = future(x)
        # Pair i is too old for the query at t if it lies before the pairs of the query at t - n.
        older = torch.ones_like(hidden).tril(x.k.shape[2] - x.q.shape[2] - self.size)
        log = x.k.new_zeros(hidden.shape).masked_fill(hidden | older, -math.inf)
        return log.expand(*x.k.shape[:2], *log.shape)[..., None]


def _inside(t: int, i: int, size: float) -> float:
    return float(t - i < size)
