"""Decays that training sets, fixed in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import RequestError
from ...named import Params
from ..option import option
from ..terms import Form, Let, Letter, Term
from .base import SteadyWeights
from .memoryless import LONGEST, power_of_lag


@dataclass(frozen=True)
class LearnedDecay(SteadyWeights):
    r"""The past fades at a rate per head that is learned and the same at every token.

    $$\gamma_i^{(t)} = \gamma^{t-i}, \qquad \log \gamma = -e^{\nu}$$

    The modulus of the LRU's eigenvalues: right where the rate of change belongs to the data and
    not to the token. At first $\gamma^2$ is spread evenly over the heads between ``low`` and
    ``high``, squared; a lone head keeps ``high``, at most $1 - 2^{-12}$, as a lone `Decay` does.
    Learned: nu, one number per head.

    Args:
        low: smallest share kept per token at first, in [0, 1).
        high: largest share kept per token at first, in (0, 1], above ``low``.

    Reference: Resurrecting Recurrent Neural Networks for Long Sequences (Orvieto et al., 2023)
    https://arxiv.org/abs/2303.06349

    Deviation: gamma^2 is at the midpoints of equal parts, where the paper draws it at random. The
    midpoint of one part is a half-life of two tokens, at which nothing is learned of what is asked
    for later: in the standard frame, with keys of 64, 8 pairs in 64 tokens stay at .01 (400
    steps), and are at .999 after 132 from the lone head's start.
    """

    revision: ClassVar[int] = 2

    low: float = option(0.0, "smallest share kept per token at first", low=0.0, high=1.0)
    high: float = option(1.0, "largest share kept per token at first", low=0.0, high=1.0)

    def kept(self, index: str, primes: int = 0) -> Term:
        nu = Letter(f"nu.{primes}", r"\nu" + "'" * primes)
        return Let(r"\varrho" + "'" * primes, Form(r"\exp(-e^{{{0}}})", _share, (nu,)))

    def elapsed(self, primes: int = 0) -> Term:
        return power_of_lag(self.kept("t", primes))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low >= self.high:
            raise RequestError(
                f"LearnedDecay spreads its heads from low={self.low:g} to high={self.high:g}; low "
                "must be less than high."
            )

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        share = (torch.arange(heads, dtype=torch.float64) + 0.5) / heads
        square = self.low**2 + share * (self.high**2 - self.low**2)
        if heads == 1:
            square = torch.tensor([min(self.high, LONGEST) ** 2], dtype=torch.float64)
        return {"nu": torch.log(-0.5 * torch.log(square)).float().requires_grad_()}

    def log_share(self, params: Params, dtype: torch.dtype) -> Tensor:
        nu = params["nu"]
        return -nu.to(torch.promote_types(nu.dtype, dtype)).exp()


def _share(nu: Tensor) -> Tensor:
    return (-nu.exp()).exp()
