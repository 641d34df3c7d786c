"""Weights that compare a key with the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ..option import SHARPNESSES, option
from ..story import QUERY, key
from ..terms import ONE, PRODUCT, Form, Letter, Numeral, Term, dot
from .base import DotProductKernel

if TYPE_CHECKING:
    from ..spec import Spec

SUMMED = 8.0
"""The sharpest start of weights whose pairs are added up."""


@dataclass(frozen=True)
class ExpKernel(DotProductKernel):
    r"""Pairs count by how well their key matches the query.

    $$\gamma_i^{(t)} = \exp(s (q_t^\top k_i - 1))$$

    With a constant fitted to them this is softmax attention, in which the factor $e^{-s}$ cancels.
    On unit keys it makes them a Gaussian kernel of bandwidth $s^{-1/2}$: a pair that matches counts
    1 whatever the scale, and a ridge means the same beside a sharp kernel as beside a flat one. At
    $s = 1/\sqrt{K}$ unit keys are nearly alike, so the scale matters more than any other setting.

    Args:
        scale: s; None takes $1/\sqrt{K}$, and where it is learned the start that suits what is
            fitted: 16 for a mean, less where slopes are fitted.

    Reference: Attention Is All You Need (Vaswani et al., 2017) https://arxiv.org/abs/1706.03762
    """

    revision: ClassVar[int] = 2  # the factor exp(-s), and where a learned scale starts

    scale: float | None = option(
        None, "sharpness of the kernel; none: 1 / sqrt(K)", 0.0, 1000.0, tune=SHARPNESSES
    )

    def written(self, primes: int = 0) -> Term:
        if self.scale == 0:
            return ONE
        return self._exponential(dot(QUERY, key("i")) - ONE)

    def proportional(self, primes: int = 0) -> Term:
        return ONE if self.scale == 0 else self._exponential(dot(QUERY, key("i")))

    def _exponential(self, product: Term) -> Term:
        return Form(r"\exp({0})", torch.exp, (scaled(self.scale, product),))

    def scale_start(self, spec: Spec) -> float:
        start = spec.function.local_scale
        # A sum is not divided by its weights: of a sharper kernel pairs that half match are lost.
        return min(start, SUMMED) if spec.optimizer.takes_signed else start


def scaled(scale: float | None, product: Term) -> Term:
    r"""Returns a product of keys times its scale, $1/\sqrt{K}$ where there is none."""
    if scale is not None:
        return Numeral(scale) * product
    root = Letter("root.K", r"\sqrt{K}")
    return Form("{0} / {1}", _over, (product, root), (PRODUCT, PRODUCT), PRODUCT)


def _over(a: Tensor, b: float) -> Tensor:
    return a / b
