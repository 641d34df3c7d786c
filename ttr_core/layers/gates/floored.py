"""RWKV-7's decay: never below .545, whatever the token says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from ...named import Carried
from ...stream import Stream
from .base import Gates, SignalMap, Site, rank

FASTEST = math.exp(-0.5)  # minus the log of the least share kept: exp(-.607) = .545


class Floored(Gates):
    r"""A decay that leaves more than half of the memory at any token: RWKV-7.

    $$\log a_t = -e^{-1/2}\, \sigma(W x_t + w_0)$$

    Fresh half-lives are spread from 16 tokens to the sequence length.

    Reference: RWKV-7 "Goose" with Expressive Dynamic State Evolution (Peng et al., 2025)
    https://arxiv.org/abs/2503.14456

    Deviation: no tanh within the map of low rank; the paper's decays start fast in the first
    channels and slow in the last, by the number of the layer.
    """

    name: ClassVar[str] = "floored"
    ties: ClassVar[tuple[str, ...]] = ("decay",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        width = site.width(site.signal("decay"))
        lost = -site.fresh_decays(site.sizes.heads * width).log() / FASTEST
        self["fading"] = SignalMap(site, width, "sigmoid", lost, rank(site, width))

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        signals = {**stream.signals, "decay": -FASTEST * self["fading"](source)}
        return replace(stream, signals=signals), state
