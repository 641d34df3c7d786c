"""mLSTM's gates: a sigmoid forgets, an exponential writes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried
from ...stream import Stream
from .base import Gates, SignalMap, Site

CAP = 15.0  # of the logarithm of the input gate
FORGET_BIAS = 3.0, 6.0  # fresh, spread over the heads


class Exponential(Gates):
    r"""A forget gate from a sigmoid and an input gate from an exponential: mLSTM.

    $$a_t = \sigma(W_f x_t + \beta_f), \qquad
    b_t = \exp\big(15 \tanh((W_i x_t + \beta_i) / 15)\big)$$

    The logarithm of the input gate is capped softly at 15, as in xLSTM 7B, so that float32 holds
    its exponential without a running maximum. Forget biases start
    spread evenly from 3 to 6.

    Reference: xLSTM: Extended Long Short-Term Memory (Beck et al., 2024)
    https://arxiv.org/abs/2405.04517
    """

    name: ClassVar[str] = "exponential"
    ties: ClassVar[tuple[str, ...]] = ("decay", "importance")

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        heads, width = site.sizes.heads, site.width(site.signal("decay"))
        low, high = FORGET_BIAS
        biases = low + (high - low) * (torch.arange(heads * width) + 0.5) / (heads * width)
        self["forget"] = SignalMap(site, width, "log_sigmoid", torch.sigmoid(biases), 0)
        self["input"] = SignalMap(site, 1, "identity", torch.zeros(heads), 0)

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        importance = torch.exp(CAP * torch.tanh(self["input"](source) / CAP))
        signals = {"decay": self["forget"](source), "importance": importance}
        return replace(stream, signals={**stream.signals, **signals}), state
