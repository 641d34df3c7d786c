"""Mamba's selection: one step size is both the weight of a pair and the scale of its decay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...named import Carried
from ...precision import single
from ...stream import Stream
from .base import Gates, SignalMap, Site, rank

SHORTEST, LONGEST = 1e-3, 1e-1  # fresh step sizes
MOST = 16.0  # fresh decay rates per unit of step, of a gate per head


class Selective(Gates):
    r"""A step size per token, discretized: Mamba and Mamba-2.

    $$b_t = \Delta_t, \qquad \log a_t = -e^{A} \Delta_t, \qquad
    \Delta_t = \mathrm{softplus}(W x_t + \beta)$$

    Under a scalar gate A is one number per head and $e^A$ starts within [1, 16] (Mamba-2); under a
    gate per feature it is one per head and feature and $e^A$ starts at $1/F, \dots, 1$ (Mamba).
    Steps start within [0.001, 0.1].

    Reference: Mamba: Linear-Time Sequence Modeling with Selective State Spaces (Gu and Dao, 2023)
    https://arxiv.org/abs/2312.00752

    Deviation: rates per feature start F times as slow as Mamba's, whose fastest forget half in .4
    tokens; fresh rates and steps are spread evenly over these ranges, the steps in their
    logarithm and in random order, where public code draws them: the one draw of a single head
    may forget within two tokens.
    """

    name: ClassVar[str] = "selective"
    revision: ClassVar[int] = 2
    ties: ClassVar[tuple[str, ...]] = ("decay", "importance")

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        heads, width = site.sizes.heads, site.width(site.signal("decay"))
        even = (torch.arange(heads) + 0.5) / heads
        if width == 1:
            rates = 1 + (MOST - 1) * even[:, None]
        else:
            rates = (torch.arange(1.0, width + 1) / width).expand(heads, width)
        self.A_log = nn.Parameter(rates.log())
        shuffled = even[torch.randperm(heads, generator=site.generator)]
        start = SHORTEST * torch.exp(shuffled * math.log(LONGEST / SHORTEST))
        self["delta"] = SignalMap(site, 1, "softplus", start, rank(site, 1))

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        delta = self["delta"](source)
        decay = -single(self.A_log).exp()[:, None] * delta
        return replace(stream, signals={**stream.signals, "decay": decay, "importance": delta}), {}
