"""Keys that are leaky averages, and values that peek a token ahead: Memory Mosaics."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...named import Carried
from ...precision import single
from ...stream import Stream
from ..norms import unit
from .base import MadePairs, Site

SHARE = 0.5  # of the average so far, and of the value before, at first


class Mosaic(MadePairs):
    r"""The key of a pair is an average of the tokens before, its value what came next.

    $$\bar k_t = k_t + \lambda \bar k_{t-1}, \qquad (q_t, k_t, v_t) \leftarrow
    \Big(\tfrac{\bar q_t}{|\bar q_t|},\ \tfrac{\bar k_{t-1}}{|\bar k_{t-1}|},\
    \mathrm{rms}(v_t + \psi v_{t-1})\Big)$$

    A memory that predicts: asked with what the present looks like, it answers with what followed
    the like of it. Queries are averaged as keys are. No positions, and no convolution. The first
    pair has no key. Learned: lambda and psi, one number per head, within (0, 1).

    Reference: Memory Mosaics (Zhang et al., 2024) https://arxiv.org/abs/2405.06394
    """

    name: ClassVar[str] = "mosaic"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        start = torch.full((site.sizes.heads,), SHARE).logit()
        self.leak, self.peek = nn.Parameter(start), nn.Parameter(start.clone())

    def pairs(self, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        q, k, v = stream.q, stream.k, stream.v
        before = state or {"q": 0 * q[:, :, :1], "k": 0 * k[:, :, :1], "v": 0 * v[:, :, :1]}
        q, averages = (self._averaged(z, before[n]) for n, z in (("q", q), ("k", k)))
        keys = torch.cat([before["k"], averages[:, :, :-1]], 2)
        values = torch.cat([before["v"], v[:, :, :-1]], 2)
        values = v + single(self.peek).sigmoid()[:, None, None] * values
        after = {"q": q[:, :, -1:], "k": averages[:, :, -1:], "v": v[:, :, -1:]}
        made = F.rms_norm(values, values.shape[-1:])
        return replace(stream, q=unit(q), k=unit(keys), v=made), after

    def _averaged(self, x: Tensor, before: Tensor) -> Tensor:
        """Returns x after a leaky average, [B, H, T, K], from the average before, [B, H, 1, K]."""
        log = F.logsigmoid(single(self.leak))[:, None, None]
        place = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
        lag = place[:, None] - place
        kept = (log * lag.clamp_min(0)).exp().tril()
        return kept @ x + (log * (place[:, None] + 1)).exp() * before
