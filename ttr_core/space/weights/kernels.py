"""Weights that compare a key with the query."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..option import SHARPNESSES, option
from ..story import QUERY, key
from ..terms import ONE, PRODUCT, Form, Letter, Numeral, Term, dot
from .base import DotProductKernel


@dataclass(frozen=True)
class ExpKernel(DotProductKernel):
    r"""Pairs count by how well their key matches the query.

    $$\gamma_i^{(t)} = \exp(s\, q_t^\top k_i)$$

    With a constant fitted to them this is softmax attention. On unit keys it is a Gaussian
    kernel of bandwidth $s^{-1/2}$; at $s = 1/\sqrt{K}$ it is then nearly uniform, so the scale
    matters more than any other setting.

    Args:
        scale: s; None takes $1/\sqrt{K}$.

    Reference: Attention Is All You Need (Vaswani et al., 2017) https://arxiv.org/abs/1706.03762
    """

    scale: float | None = option(
        None, "sharpness of the kernel; none: 1 / sqrt(K)", 0.0, 1000.0, tune=SHARPNESSES
    )

    def written(self, primes: int = 0) -> Term:
        if self.scale == 0:
            return ONE
        return Form(r"\exp({0})", torch.exp, (scaled(self.scale, dot(QUERY, key("i"))),))

    def logit_scale(self, key_dim: int) -> float:
        return key_dim**-0.5 if self.scale is None else self.scale

    @property
    def scale_chosen(self) -> bool:
        return self.scale is not None


def scaled(scale: float | None, product: Term) -> Term:
    r"""Returns a product of keys times its scale, $1/\sqrt{K}$ where there is none."""
    if scale is not None:
        return Numeral(scale) * product
    root = Letter("root.K", r"\sqrt{K}")
    return Form("{0} / {1}", _over, (product, root), (PRODUCT, PRODUCT), PRODUCT)


def _over(a: Tensor, b: float) -> Tensor:
    return a / b
