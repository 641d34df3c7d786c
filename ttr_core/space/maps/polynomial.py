"""Monomials of the key, each product of coordinates once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...limits import Estimate, check
from ..option import option
from ..sharpness import Comparison
from .base import KernelMap

if TYPE_CHECKING:
    from ..spec import Spec


def monomials(size: int, degree: int) -> int:
    """Returns how many monomials of this degree there are in ``size`` coordinates."""
    return math.comb(size + degree - 1, degree)


def packed(x: Tensor, degree: int) -> Tensor:
    r"""Returns the monomials of a degree, weighted so that their products sum to $(a^\top b)^p$.

    Each product of coordinates stands once, by the square root of how often it occurs: off the
    diagonal of a square $\sqrt 2$. Without it the kernel would be another.

    Args:
        x: [..., K].
        degree: p >= 1.

    Returns:
        [..., C(K + p - 1, p)], in lexicographic order of the coordinates.

    Raises:
        LimitExceeded: they are too many to be held.
    """
    size = x.shape[-1]
    count = x.numel() // max(size, 1) * monomials(size, degree)
    check(f"{monomials(size, degree)} monomials of {tuple(x.shape)}", Estimate(count, 8.0 * count))
    products = x
    for lower in range(1, degree):
        # The lower monomials that begin at coordinate i or later are their own tail.
        every = products.shape[-1]
        tails = [products[..., every - monomials(size - i, lower) :] for i in range(size)]
        products = torch.cat([x[..., i : i + 1] * tail for i, tail in enumerate(tails)], -1)
    return products * _weights(size, degree).to(x)


@lru_cache(maxsize=32)
def _weights(size: int, degree: int) -> Tensor:
    """Returns the square roots of the multinomial coefficients, in lexicographic order."""
    places = torch.combinations(torch.arange(size), degree, with_replacement=True)
    run = torch.ones(len(places), dtype=torch.float64)
    repeats = run.clone()  # the product of the factorials of how often each coordinate occurs
    for j in range(1, degree):
        run = torch.where(places[:, j] == places[:, j - 1], run + 1, 1.0)
        repeats = repeats * run
    return (math.factorial(degree) / repeats).sqrt()


@dataclass(frozen=True)
class Taylor2(KernelMap, Comparison):
    r"""The exponential kernel up to its second order.

    $$\phi(k) = \big[1,\ \sqrt{s}\, k,\ \tfrac{s}{\sqrt 2}\, k_i^2,\ s\, k_i k_j\big]_{i < j},
    \qquad \phi(q)^\top \phi(k) = 1 + s\, q^\top k + \tfrac12 (s\, q^\top k)^2 \ge \tfrac12$$

    1 + K + K (K + 1) / 2 features: few for small keys (153 at K = 16), many for large ones (2145 at
    K = 64). The kernel never falls below one half, so no token can be shut out.

    Args:
        scale: s, as in `ExpKernel`; None takes $1/\sqrt{K}$.

    Reference: Simple linear attention language models balance the recall-throughput tradeoff (Arora
    et al., 2024) https://arxiv.org/abs/2402.18668
    """

    name: ClassVar[str] = "taylor2"
    notation: ClassVar[str] = r"[1, \sqrt{s}\, k, \tfrac{s}{\sqrt 2} k_i^2, s\, k_i k_j]_{i < j}"

    scale: float | None = option(
        None, "sharpness s of the kernel 1 + s q.k + (s q.k)^2 / 2; none: 1 / sqrt(K)", 0.0, 1000.0
    )

    def scale_start(self, spec: Spec) -> float:
        return 16.0

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        scaled = self.sharpened(x, params)
        one = torch.ones_like(x[..., :1])
        return torch.cat([one, scaled, packed(scaled, 2) * 0.5**0.5], -1)

    def gram(self, a: Tensor, b: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        s = self.sharpness(a, params) * (a @ b.mT)
        return 1 + s + s.square() / 2

    def width(self, key_dim: int) -> int:
        return 1 + key_dim + monomials(key_dim, 2)


@dataclass(frozen=True)
class Polynomial(KernelMap):
    r"""Monomials of one degree.

    $$\phi(k) = \Big(\sqrt{p! / \textstyle\prod_j n_j!}\ \prod_j k_j^{n_j}\Big)_{|n| = p}, \qquad
    \phi(q)^\top \phi(k) = (q^\top k)^p$$

    C(K + p - 1, p) features. At an even degree the kernel is never negative, and a key and its
    opposite are the same; at an odd one no mean divides by its sum, which crosses zero.

    Args:
        degree: p; 2 and 4 are those of power retention.

    Reference: PolySketchFormer: Fast Transformers via Sketching Polynomial Kernels (Kacham,
    Mirrokni and Zhong, 2023) https://arxiv.org/abs/2310.01655

    Deviation: the features are exact; the paper sketches them.
    """

    name: ClassVar[str] = "polynomial"
    notation: ClassVar[str] = r"(\sqrt{p! / \prod_j n_j!}\, \prod_j k_j^{n_j})_{|n| = p}"

    degree: int = option(2, "degree of the monomials", low=2, high=4)

    @property
    def negative(self) -> str:
        if self.degree % 2 == 0:
            return ""
        return f"to an odd power, {self.degree}, the product of a query and a key keeps its sign"

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return packed(x, self.degree)

    def gram(self, a: Tensor, b: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return (a @ b.mT) ** self.degree

    def width(self, key_dim: int) -> int:
        return monomials(key_dim, self.degree)
