"""Longhorn's step: how much the newest pair counts against the memory, within (0, 1)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried
from ...stream import Stream
from .base import Gates, SignalMap, Site, rank


class Proximal(Gates):
    r"""A step size between 0 and 1, which starts at one half: Longhorn.

    $$\delta_t = \sigma(W x_t + \beta)$$

    Reference: Longhorn: State Space Models are Amortized Online Learners (Liu et al., 2024)
    https://arxiv.org/abs/2407.14207
    """

    name: ClassVar[str] = "proximal"
    ties: ClassVar[tuple[str, ...]] = ("step",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        start = torch.full((site.sizes.heads,), 0.5)
        self["step"] = SignalMap(site, 1, "sigmoid", start, rank(site, 1))

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        return replace(stream, signals={**stream.signals, "step": self["step"](source)}), state
