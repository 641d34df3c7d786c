"""A toy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...named import Params
from ...stream import Stream
from ..option import option
from .base import MemorylessWeights, Recency


@dataclass(frozen=True)
class ToyDecay(MemorylessWeights):
    r"""Every token takes the same bite out of the past.

    $$\gamma_i^{(t)} = (1 - r)^{t - i}$$

    Args:
        rate: r, the bite.

    Reference: A toy (Nobody, 2026) https://example.org
    """

    rate: float = option(0.25, "share lost per token", low=0.01, high=0.99)
    notation: ClassVar[str] = r"(1 - r)^{t-i}"

    def recency(self, x: Stream, params: Params) -> Recency:
        return Recency(torch.full_like(x.k[..., :1], 1 - self.rate).log(), None)
