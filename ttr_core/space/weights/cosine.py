"""Weights that turn with the distance of a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..option import option
from ..terms import Form, Index, Numeral, Term
from .base import RotatingWeights


@dataclass(frozen=True)
class Cosine(RotatingWeights):
    r"""Pairs count by the cosine of their distance (cosFormer).

    $$\gamma_i^{(t)} = \cos\left(\frac{\pi}{2} \cdot \frac{t - i}{M}\right)$$

    Near pairs count most, those M tokens back not at all, and those beyond negatively: take M at
    least as long as the sequences. It is no product of one factor per token, yet two numbers that
    rotate carry it. Of signed weights only one step is defined: a least-squares fit under them
    need not have a minimum.

    Args:
        length: M, in tokens.

    Reference: cosFormer: Rethinking Softmax in Attention (Qin et al., 2022)
    https://arxiv.org/abs/2202.08791

    Deviation: M is fixed. The authors' code takes the length of the current sequence, so that its
    outputs change with what comes later, and it cannot decode.
    """

    length: int = option(512, "distance at which a pair counts nothing: M, tokens", 1, 1 << 20)

    def written(self, primes: int = 0) -> Term:
        turn = r"\cos\big(\tfrac{{\pi}}{{2}} ({0} - {1}) / {2}\big)"
        return Form(turn, _turned, (Index("t"), Index("i"), Numeral(self.length)))

    @property
    def rate(self) -> float:
        return math.pi / 2 / self.length

    @property
    def negative(self) -> str:
        return f"pairs of more than {self.length} tokens apart"


def _turned(t: int, i: int, length: float) -> float:
    return math.cos(math.pi / 2 * (t - i) / length)
