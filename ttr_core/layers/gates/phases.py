"""Complex decays in real numbers: a modulus that weighs, a phase that turns."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import RequestError
from ...named import Carried
from ...precision import single
from ...space.weights import SteadyWeights
from ...stream import Stream
from .base import Gates, SignalMap, Site, TurnedGates

TURN = 2 * math.pi
SLOWLY = 0.03  # of a projection is the phase: a sum over all tokens, it would soon be at random


class Phases(Gates):
    r"""A complex decay that each token chooses, one per channel: GateLoop.

    $$a_t = \sigma(\alpha_t)\, e^{i \beta_t}, \qquad \alpha_t = W_\alpha x_t + c_\alpha, \quad
    \beta_t = 0.03\, (W_\beta x_t + c_\beta)$$

    The modulus is the weight. The phase turns queries and keys, which are one number per head, by
    its running sum $\Theta_t = \sum_{j \le t} \beta_j$, a rotary position that the data choose:

    $$\mathrm{Re}\Big(q_t \prod_{j=i+1}^{t} a_j\, k_i\Big) = \prod_{j=i+1}^{t} |a_j|\;
    (q_t \cos\Theta_t,\, q_t \sin\Theta_t) \cdot (k_i \cos\Theta_i,\, k_i \sin\Theta_i)$$

    Reference: GateLoop: Fully Data-Controlled Linear Recurrence for Sequence Modeling (Katsch,
    2023) https://arxiv.org/abs/2311.01927

    Deviation: the factor 0.03 (reproductions of the paper learn state transitions at half the
    rate of the rest, or less). An optimizer that rescales its steps turns phases by a radian per
    token within a hundred steps; after 400 of them associative recall of 8 pairs, 64 channels, is
    at .01 with a factor of 1, and at .35 with one of .03 or without phases.
    """

    name: ClassVar[str] = "phases"
    revision: ClassVar[int] = 2
    ties: ClassVar[tuple[str, ...]] = ("decay",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if site.width(site.signal("decay")) != 1 or site.sizes.key_dim != 2:
            raise RequestError(
                f"gates={self.name} turns one number per head in a plane: it needs key_dim=2 in "
                f"the frame and one decay per token and head; {site.spec} with keys of size "
                f"{site.sizes.key_dim} is not that."
            )
        heads = site.sizes.heads
        self["modulus"] = SignalMap(site, 1, "log_sigmoid", site.fresh_decays(heads), 0)
        self["angle"] = SignalMap(site, 1, "identity", torch.zeros(heads), 0)

    @classmethod
    def key_inputs(cls, key_dim: int) -> int:
        return 1

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        # In float64: what counts is the difference of two sums as long as the sequence.
        total = SLOWLY * self["angle"](source).double().cumsum(2)
        if "angle" in state:
            total = total + state["angle"]
        total = total.remainder(TURN)
        at = total.to(stream.q.dtype)
        circle = torch.cat([at.cos(), at.sin()], -1)  # (B H T 2)
        signals = {**stream.signals, "decay": self["modulus"](source)}
        turned = replace(stream, q=stream.q * circle, k=stream.k * circle, signals=signals)
        return turned, {"angle": total[:, :, -1:]} if stream.length else state


class Oscillators(TurnedGates):
    r"""A complex decay per head that is learned and fixed in time: the LRU.

    $$h_t = \lambda h_{t-1} + e^{g} (B x_t), \qquad \lambda = e^{-e^{\nu} + i e^{\theta}}$$

    There is no key and no query: both are 1. The modulus is the weight (`SteadyWeights`), and the
    phase turns the values (Re, Im) into a frame that rotates and the outputs back, so that the
    memory is real and as large as h:

    $$e^{-i \omega t} h_t = \sum_{i \le t} |\lambda|^{t-i}\, e^{-i \omega i}\, e^{g} B x_i,
    \qquad \omega = e^{\theta}$$

    Fresh phases are uniform on the circle, and $e^g = \sqrt{1 - |\lambda|^2}$.

    Reference: Resurrecting Recurrent Neural Networks for Long Sequences (Orvieto et al., 2023)
    https://arxiv.org/abs/2303.06349
    """

    name: ClassVar[str] = "oscillators"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        sizes, weights = site.sizes, site.spec.weights
        if not isinstance(weights, SteadyWeights) or (sizes.key_dim, sizes.value_dim) != (1, 2):
            raise RequestError(
                f"gates={self.name} turns two values per head: it needs {SteadyWeights.phrase}, "
                f"and heads=pairs and key_dim=1 in the frame; "
                f"{site.spec} with keys of size {sizes.key_dim} and values of size "
                f"{sizes.value_dim} is not that."
            )
        own = weights.parameters(sizes.key_dim, sizes.value_dim, sizes.heads)
        kept = torch.exp(2 * weights.log_share(own, torch.float32).detach()).float()  # |lambda|^2
        share = torch.rand(sizes.heads, generator=site.generator).clamp_min(1e-6)
        self.theta = nn.Parameter(torch.log(TURN * share))
        self.gain = nn.Parameter(0.5 * torch.log1p(-kept.clamp_max(1 - 1e-6)))

    @classmethod
    def key_inputs(cls, key_dim: int) -> int:
        return 0

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        v, length = stream.v, stream.length
        first = state.get("time", torch.zeros((), dtype=torch.int64))
        one = torch.ones_like(v[..., :1])
        after = {"time": first + length}
        turned = self._turned(v, after, -1) * single(self.gain).exp()[:, None, None]
        return replace(stream, q=one, k=one, v=turned), after

    def read(self, y: Tensor, state: Carried) -> Tensor:
        return self._turned(y, state, 1)

    def _turned(self, z: Tensor, state: Carried, sign: int) -> Tensor:
        """Turns (Re, Im) of the last tokens before the state's time by their phase."""
        last = int(state["time"])
        time = torch.arange(last - z.shape[2], last, dtype=torch.float64, device=z.device)
        # In float64: a phase in float32 is off by a part of its own size, which grows with time.
        at = (sign * self.theta.double().exp()[:, None] * time).remainder(TURN).to(z.dtype)
        cos, sin, re, im = at.cos(), at.sin(), z[..., 0], z[..., 1]
        return torch.stack([re * cos - im * sin, re * sin + im * cos], -1)
