"""RWKV-6's decay: a double exponential of a low-rank map."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import RequestError
from ...named import Carried
from ...precision import single
from ...stream import Stream
from ..init import uniform
from .base import Gates, Site

SLOWEST, SPREAD, POWER = -6.0, 5.0, 0.7  # of the fresh w0 over the channels of a first layer


class DoubleExponential(Gates):
    r"""A decay per channel of the keys that never leaves (0, 1): RWKV-6.

    $$\log a_t = -\exp\big(w_0 + \tanh(x_t W_1) W_2\big)$$

    Fresh decays go from 0.9975 for the first channel to 0.692 for the last. The rank of the map is
    `Frame.decay_rank`.

    Reference: Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence (Peng et
    al., 2024) https://arxiv.org/abs/2404.05892
    """

    name: ClassVar[str] = "double_exponential"
    ties: ClassVar[tuple[str, ...]] = ("decay",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        width, rank = site.width(site.signal("decay")), site.decay_rank
        if width != site.sizes.key_dim or not rank:
            raise RequestError(
                f"gates={self.name} sets one decay per channel of the keys by a map of low rank: "
                f"it needs the weights ChannelGate, the function Linear and decay_rank above 0; "
                f"{site.spec} with decay_rank={rank} is not that."
            )
        count = site.sizes.heads * width
        place = torch.arange(count) / max(count - 1, 1)
        self.start = nn.Parameter((SLOWEST + SPREAD * place**POWER).view(-1, 1, width))
        self.down = uniform((site.inputs, rank), 1e-4, site.generator)
        self.up = uniform((rank, count), 1e-2, site.generator)

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        heads, _, width = self.start.shape
        hidden = torch.tanh(source.to(self.down.dtype) @ self.down)
        moved = single(hidden @ self.up).unflatten(-1, (heads, width))
        decay = -torch.exp(self.start + moved.transpose(1, 2))  # (B H T K)
        return replace(stream, signals={**stream.signals, "decay": decay}), state
