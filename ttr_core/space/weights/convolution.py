"""Weights that are a filter of the lag, mixed by the content: a long convolution."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..fates import Fate
from ..option import option
from ..terms import Letter, Term
from .base import SignedWeights, future

WAVES = 16
SHORTEST, LONGEST = 4.0, 1024.0  # half-lives of fresh filters, in tokens


class ConvolutionWeights(SignedWeights, abc.ABC):
    r"""Trait: $\gamma_i^{(t)} = \sum_r s_{t,r}\, h_r(t - i)$, a few filters mixed per token."""

    phrase: ClassVar[str] = "filters of the lag, mixed per token"

    @property
    def forgetting(self) -> tuple[Fate, ...]:
        return (Fate.LAG,)

    @property
    def negative(self) -> str:
        return "some pairs"

    @abc.abstractmethod
    def filters(self, length: int, params: Params, dtype: torch.dtype) -> Tensor:
        """Returns h[r, lag] for lags below ``length``, [H, R, length], made in this precision."""

    @abc.abstractmethod
    def mixture(self, x: Stream) -> Tensor:
        """Returns s[t, r] of the queries, [B, H, Tq, R]; it may see no later token."""

    def matrix(self, x: Stream, params: Params) -> Tensor:
        queries, keys = x.q.shape[2], x.length
        h = self.filters(keys, params, x.k.dtype)
        rows = torch.arange(keys - queries, keys, device=h.device)
        lag = (rows[:, None] - torch.arange(keys, device=h.device)).clamp_min(0)
        gamma = torch.einsum("bhtr,hrti->bhti", self.mixture(x), h[..., lag])
        return gamma.masked_fill(future(x), 0.0)[..., None]


@dataclass(frozen=True)
class LongConvolution(ConvolutionWeights):
    r"""A long filter of the lag that the content so far bends: Orchid's, made causal.

    $$\gamma_i^{(t)} = h_0(t - i) + \sum_{r=1}^{R} s_{t,r}\, h_r(t - i), \qquad
    s_t = \tfrac1t \sum_{j \le t} c_j, \qquad
    h_r(l) = e^{-\alpha_r l} \sum_f A_{rf} \sin(\omega_f l + \varphi_f)$$

    No key and no query is compared, and the weights have either sign: a signal-processing layer,
    the baseline beside regressions rather than one of them. Signal ``mixture``: $c_j$, R per token
    and head. Learned: A, alpha, omega, phi.

    Args:
        basis: R, the filters that the content mixes, beside the fixed one.
        seed: of the filters' fresh amplitudes.

    Reference: Orchid: Flexible and Data-Dependent Convolution for Sequence Modeling (Karami and
    Ghodsi, 2024) https://arxiv.org/abs/2402.18508

    Deviation: the paper's filter depends on the whole sequence, and wraps around its end; here the
    conditioning is the mean of what was seen so far, mixed from a basis. One layer of sines makes
    the filters (paper: a network of them).
    """

    basis: int = option(4, "filters that the content mixes", low=1, high=64)
    seed: int = option(0, "of the filters' fresh amplitudes", low=0, high=2**31)
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()  # a baseline, not a cell of the grid

    def written(self, primes: int = 0) -> Term:
        filters = rf"h_0(t-i) + \sum_{{r=1}}^{{{self.basis}}} s_{{t,r}} h_r(t-i)"
        return Letter("gamma", filters, ("t", "i"))

    @property
    def signals(self) -> tuple[Signal, ...]:
        help = "what the content adds to each filter"
        return (Signal("mixture", f"{self.basis}*scalar", "identity", 0.0, -1.0, 1.0, help),)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        count = self.basis + 1
        draw = torch.Generator().manual_seed(self.seed)
        lives = torch.logspace(math.log10(SHORTEST), math.log10(LONGEST), count)
        rates = torch.logspace(0, -math.log10(LONGEST), WAVES) * math.pi
        tensors = {
            "amplitude": torch.randn(heads, count, WAVES, generator=draw) * WAVES**-0.5,
            "fade": (math.log(2) / lives).log().repeat(heads, 1),
            "rate": rates.repeat(heads, 1),
            "phase": torch.linspace(0, math.pi, WAVES).repeat(heads, 1),
        }
        return {name: value.requires_grad_() for name, value in tensors.items()}

    def filters(self, length: int, params: Params, dtype: torch.dtype) -> Tensor:
        own = {name: tensor.to(dtype) for name, tensor in params.items()}
        lag = torch.arange(length, dtype=torch.float64, device=own["rate"].device)
        fades = (-own["fade"].exp()[..., None] * lag.to(dtype)).exp()  # (H R length)
        # In float64: an angle in float32 is off by a part of its own size.
        angle = own["rate"].double()[..., None] * lag + own["phase"].double()[..., None]
        return fades * (own["amplitude"] @ angle.remainder(2 * math.pi).to(dtype).sin())

    def mixture(self, x: Stream) -> Tensor:
        content = x.signals["mixture"]
        count = torch.arange(1, x.length + 1, dtype=content.dtype, device=content.device)
        mean = (content.cumsum(2) / count[:, None])[:, :, x.length - x.q.shape[2] :]
        return torch.cat([torch.ones_like(mean[..., :1]), mean], -1)
