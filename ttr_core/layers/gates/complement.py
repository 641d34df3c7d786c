"""What is forgotten makes room for what is written: weights and keys that are 1 - f."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import RequestError
from ...named import Carried
from ...stream import Stream
from ..init import before_link
from .base import Gates, Site


class Complement(Gates):
    r"""A pair's weight is the share that its token forgets: the gated RFA's moving average.

    $$b_t = 1 - a_t$$

    Reference: Random Feature Attention (Peng et al., 2021) https://arxiv.org/abs/2103.02143
    """

    name: ClassVar[str] = "complement"
    ties: ClassVar[tuple[str, ...]] = ("importance",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if "decay" not in self.free or site.width(site.signal("decay")) != 1:
            raise RequestError(
                f"gates={self.name} needs one decay per token and head; {site.spec} has none: "
                "take the weights Gate * Importance."
            )

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        # 1 - exp(log a) would be 0 for a decay near 1.
        importance = -torch.expm1(stream.signals["decay"])
        return replace(stream, signals={**stream.signals, "importance": importance}), state


class ComplementKeys(Gates):
    r"""A key is the share of each channel that its token forgets: HGRN2.

    $$k_t = 1 - a_t = (1 - l)\, \sigma(W x_t + \beta), \qquad a_t \in [l, 1]^K$$

    What the frame projects as keys is $W x_t$, so that the convolution on keys is one on gates. The
    lower bound l is `Frame.decay_floor`.

    Reference: HGRN2: Gated Linear RNNs with State Expansion (Qin et al., 2024)
    https://arxiv.org/abs/2404.07904
    """

    name: ClassVar[str] = "complement_keys"
    ties: ClassVar[tuple[str, ...]] = ("decay",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        sizes = site.sizes
        if not site.spec.weights.per_feature or site.width(site.signal("decay")) != sizes.key_dim:
            raise RequestError(
                f"gates={self.name} needs one decay per channel of the keys; {site.spec} has "
                "none: take the weights ChannelGate and the function Linear."
            )
        self.floor = site.decay_floor
        kept = site.fresh_decays(sizes.k_heads * sizes.key_dim)
        start = -before_link("log_sigmoid", kept)
        self.bias = nn.Parameter(start.unflatten(0, (sizes.k_heads, sizes.key_dim)))

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        decay = F.logsigmoid(-(stream.k + self.bias[:, None]))
        if self.floor:
            # log(l + (1 - l) s) from log s, without leaving the logarithm.
            bound = torch.full_like(decay, math.log(self.floor))
            decay = torch.logaddexp(bound, decay + math.log1p(-self.floor))
        signals = {**stream.signals, "decay": decay}
        return replace(stream, k=-torch.expm1(decay), signals=signals), state
