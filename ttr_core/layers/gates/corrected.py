"""Queries less a share of the newest key: Comba."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...named import Carried
from ...precision import single
from ...stream import Stream
from .base import Gates, Site

FRESH = 0.02  # of the share: public code recommends it for small models, and 1 for large ones


class Corrected(Gates):
    r"""Every signal is a projection of its own, and the query leaves out a share of the key: Comba.

    $$q_t \leftarrow q_t - D k_t$$

    So that what is read is not what was just written. D is learned, one number per head.

    Reference: Comba: Improving Bilinear RNNs with Closed-loop Control (Hu et al., 2025)
    https://arxiv.org/abs/2506.02475
    """

    name: ClassVar[str] = "corrected"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.share = nn.Parameter(torch.full((site.sizes.heads,), FRESH))

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        heads = len(self.share)
        q, k = (z.repeat_interleave(heads // z.shape[1], 1) for z in (stream.q, stream.k))
        return replace(stream, q=q - single(self.share)[:, None, None] * k), state
