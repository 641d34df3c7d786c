"""Keys that are what the keys so far make of a query: higher-order linear attention."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ...named import Carried
from ...solvers import resolve
from ...solvers.api import run
from ...space.spec import Spec
from ...stream import Stream
from .base import MadePairs

SUM = Spec.parse("Uniform | Linear | Hebbian")


class SecondOrder(MadePairs):
    r"""The key of a pair is its own query, seen through the moments of the keys so far: HLA.

    $$k_t \leftarrow \sum_{i \le t} k_i k_i^\top q_t$$

    Values are then attached to queries and not to keys, so that what is summed up is no regression
    of values on keys: a baseline.

    Reference: Higher-order Linear Attention (Zhang, Qin, Wang and Gu, 2025)
    https://arxiv.org/abs/2510.27258
    """

    name: ClassVar[str] = "second_order"

    def pairs(self, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        q, k = stream.q, stream.k
        keys, after = run(resolve(SUM), SUM, Stream(q, k, k), {}, state or None)
        return replace(stream, k=keys), after
