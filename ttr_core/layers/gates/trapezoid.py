"""Mamba-3's selection: a step that decays, writes between two tokens, and turns."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import RequestError
from ...named import Carried
from ...precision import single
from ...stream import Stream
from ..init import linear, through
from .base import Gates, SignalMap, Site, rank
from .selective import LONGEST, SHORTEST

TURN = 2 * math.pi
SLOWEST = 1e-4  # the least rate of decay per unit of step
TURNED = 4  # a quarter of K is the number of planes: half of the entries turn


class Trapezoid(Gates):
    r"""A step size per token, discretized by a weighted trapezoid, and a state that turns: Mamba-3.

    $$\log a_t = A_t \Delta_t, \quad b_t = \lambda_t \Delta_t, \quad c_t = (1 - \lambda_t) \Delta_t,
    \qquad A_t = -\mathrm{softplus}(W_A x_t + \alpha) \le -10^{-4}$$
    $$\Theta_t = \sum_{j \le t} \pi \tanh(W_\theta x_j)\, \Delta_j, \qquad
    (q_t, k_t) \leftarrow R(\Theta_t) (q_t + u,\ k_t + w)$$

    with $\Delta = \mathrm{softplus}$ and $\lambda = \sigma$ of projections. R turns the first half
    of the entries in planes of two: a complex decay, whose phase the data choose. Learned: u and w,
    one number per head and entry, 1 at first.

    Reference: Mamba-3: Improved Sequence Modeling using State Space Principles (Lahoti et al.,
    2026) https://arxiv.org/abs/2603.15569

    Deviation: steps start spread over [0.001, 0.1] in their logarithm and in random order, rates
    so that half-lives are spread from 16 tokens to the sequence length (public code draws both).
    """

    name: ClassVar[str] = "trapezoid"
    ties: ClassVar[tuple[str, ...]] = ("decay", "taps")

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        heads, size = site.sizes.heads, site.sizes.key_dim
        if site.width(site.signal("decay")) != 1 or size < TURNED:
            raise RequestError(
                f"gates={self.name} turns a quarter of the key's size in planes under one decay "
                f"per token and head: it needs keys of size {TURNED} at least; {site.spec} with "
                f"keys of size {size} is not that."
            )
        even = (torch.arange(heads) + 0.5) / heads
        shuffled = even[torch.randperm(heads, generator=site.generator)]
        steps = SHORTEST * torch.exp(shuffled * math.log(LONGEST / SHORTEST))
        rates = -site.fresh_decays(heads).log() / steps
        low = rank(site, 1)
        self["delta"] = SignalMap(site, 1, "softplus", steps, low)
        self["rate"] = SignalMap(site, 1, "softplus", rates, low)
        self["share"] = SignalMap(site, 1, "sigmoid", torch.full((heads,), 0.5), low)
        self.angle = linear(site.inputs, size // TURNED, site.generator)
        self.biases = nn.Parameter(torch.ones(2, heads, size))

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        delta, share = self["delta"](source), self["share"](source)
        decay = -self["rate"](source).clamp_min(SLOWEST) * delta
        taps = torch.cat([share * delta, (1 - share) * delta], -1)
        turn = math.pi * torch.tanh(single(through(self.angle, source)))[:, None] * delta
        # In float64: what counts is the difference of two sums as long as the sequence.
        total = turn.double().cumsum(2)  # (B H T K/4)
        total = (total + state["angle"] if "angle" in state else total).remainder(TURN)
        at = total.to(stream.q.dtype)
        q, k = (
            _turned(z.repeat_interleave(len(bias) // z.shape[1], 1) + bias[:, None], at)
            for z, bias in zip((stream.q, stream.k), single(self.biases), strict=True)
        )
        signals = {**stream.signals, "decay": decay, "taps": taps}
        after = {"angle": total[:, :, -1:]} if stream.length else state
        return replace(stream, q=q, k=k, signals=signals), after


def _turned(x: Tensor, angle: Tensor) -> Tensor:
    """Turns the first entries of [B, H, T, K] in planes of two by as many angles."""
    turning, rest = x[..., : 2 * angle.shape[-1]], x[..., 2 * angle.shape[-1] :]
    a, b = turning.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat(
        [torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2), rest], -1
    )
