"""Random features of kernels, and a fixed random scaling of the cosine transform.

Their random tensors are drawn once from the seed in the text of the map: the same text is the same
map, at training, at decoding and in the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ..option import option
from ..sharpness import Comparison
from .base import FeatureMap, root_before

if TYPE_CHECKING:
    from ..spec import Spec


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    """Returns standard normal numbers, which depend on the seed and the shape alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def orthogonal_rows(heads: int, rows: int, size: int, seed: int) -> Tensor:
    """Returns normal rows that are orthogonal within each block of ``size``, [H, rows, size]."""
    blocks = -(-rows // size)
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(heads, blocks, size, size, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(square)
    # A factorization prefers one sign of its diagonal; only after undoing that is q uniform.
    # Left in, positive features estimate another kernel at (q, k) than at (-q, -k).
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    norms = torch.randn(square.shape, generator=generator, dtype=torch.float64).norm(dim=-1)
    rows_of_all: Tensor = (q * norms[..., None]).flatten(1, 2)[:, :rows]
    return rows_of_all


@dataclass(frozen=True)
class FavorPlus(FeatureMap, Comparison):
    r"""FAVOR+: positive random features of the softmax kernel.

    $$\phi(k) = F^{-1/2} \exp\left(\sqrt{s}\, W k - \tfrac{s}{2} |k|^2\right), \qquad
    \mathbb{E}\, \phi(q)^\top \phi(k) = \exp(s\, q^\top k)$$

    Rows of W are normal and orthogonal in blocks of K. Written ``favor``: the text form has no
    plus sign in names. The error grows like $\exp(s |q + k|^2)$, so use it on keys of moderate
    size: unit keys, or $s = 1 / \sqrt K$. In float32 no feature overflows up to K = 128: none
    exceeds $\exp(|w|^2 / 2)$, and $|w|^2$ is about K.
    All features of a key vanish where $s |k|^2$ is beyond some 300: measured at K = 64, no key of
    projections three times their fresh size, 43 % of those ten times.

    Args:
        features: F, random rows per head.
        scale: s, as in `ExpKernel`; None takes $1/\sqrt{K}$.
        seed: of the random rows, which are drawn once and not learned.

    Reference: Rethinking Attention with Performers (Choromanski et al., 2020)
    https://arxiv.org/abs/2009.14794

    Deviation: nothing is subtracted from the exponents but $|k|^2 / 2$ (public code takes a maximum
    over keys, future ones among them), nothing is added to the features (eps belongs to the
    readout), the rows' signs are uniform, and the rows are never drawn anew.
    """

    name: ClassVar[str] = "favor"
    notation: ClassVar[str] = r"F^{-1/2} \exp(\sqrt{s}\, W k - \tfrac{s}{2} |k|^2)"

    features: int = option(256, "random rows per head: F", low=1, high=1 << 14)
    scale: float | None = option(
        None, "sharpness s of the kernel exp(s q.k); none: 1 / sqrt(K)", low=0.0, high=1000.0
    )
    seed: int = option(0, "seed of the random rows", low=0, high=2**31 - 1)
    scale_range: ClassVar[tuple[float, float]] = (0.01, 16.0)

    def scale_start(self, spec: Spec) -> float:
        return 2.0  # sharper features read back no better: their variance grows like exp(4 s)

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        scaled = self.sharpened(x, params)
        exponent = scaled @ params["rows"].to(x.dtype).mT
        exponent = exponent - scaled.square().sum(-1, keepdim=True) / 2
        features: Tensor = exponent.exp() * self.features**-0.5
        return features

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"rows": orthogonal_rows(heads, self.features, key_dim, self.seed)}

    def width(self, key_dim: int) -> int:
        return self.features


@dataclass(frozen=True)
class RandomFourier(FeatureMap):
    r"""Random Fourier features of the Gaussian kernel, of either sign.

    $$\phi(k) = D^{-1/2} \begin{bmatrix} \sin W k \\ \cos W k \end{bmatrix}, \qquad
    \mathbb{E}\, \phi(q)^\top \phi(k) = \exp\left(-\tfrac{1}{2 s^2} |q - k|^2\right)$$

    Rows of W are $\sigma \circ w / s$ with w standard normal and a learned $\sigma$ per coordinate
    that starts at 1. On unit keys the kernel is that of softmax at scale $1 / s^2$, up to a
    factor. Divide by its sum with the floor ``abs1`` only: it crosses zero.

    Args:
        frequencies: D, rows of W; there are 2 D features.
        scale: s, width of the kernel, in units of |k|.
        seed: of the random rows, which are not learned.

    Reference: Random Feature Attention (Peng et al., 2021) https://arxiv.org/abs/2103.02143

    Deviation: one draw for good (the paper's code draws anew at each training step); the factor is
    $D^{-1/2}$, where public code has constants.
    """

    name: ClassVar[str] = "rff"
    notation: ClassVar[str] = r"D^{-1/2} [\sin W k, \cos W k]"

    frequencies: int = option(64, "random rows per head: 2 features each", low=1, high=1 << 13)
    scale: float = option(1.0, "width of the Gaussian kernel, in units of |k|", low=1e-3, high=1e3)
    seed: int = option(0, "seed of the random rows", low=0, high=2**31 - 1)

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        rows = params["rows"].to(x.dtype) * params["sigma"].to(x.dtype)[:, None] / self.scale
        angle = x @ rows.mT
        waves: Tensor = torch.cat([angle.sin(), angle.cos()], -1) * self.frequencies**-0.5
        return waves

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {
            "rows": drawn((heads, self.frequencies, key_dim), self.seed),
            "sigma": torch.ones(heads, key_dim, requires_grad=True),
        }

    def width(self, key_dim: int) -> int:
        return 2 * self.frequencies


@dataclass(frozen=True)
class DiJiang(FeatureMap, Comparison):
    r"""A softmax over the frequencies of the key's cosine transform, each scaled at random.

    $$\phi(k) = \mathrm{softmax}(w \circ C^\top \sqrt s\, k)$$

    C is the orthonormal cosine transform (DCT-II) and w is standard normal, drawn once and shared
    by the heads. Positive, and the features of a key sum to 1: no normalizer is needed.

    Args:
        seed: of the random scaling, which is not learned.
        scale: s, whose root multiplies keys and queries; None takes 1, as the paper.

    Reference: DiJiang: Efficient Large Language Models through Compact Kernelization (Chen et al.,
    2024) https://arxiv.org/abs/2403.19928

    Deviation: as in the public code the paper's $D \exp(T C k)$ is a softmax, without learned
    weights D, the transform is applied from the right (so it is the inverse one), and w is a plain
    draw (paper: quasi-Monte Carlo).
    """

    name: ClassVar[str] = "dijiang"
    notation: ClassVar[str] = r"\mathrm{softmax}(w \circ C^\top k)"

    seed: int = option(0, "seed of the random scaling", low=0, high=2**31 - 1)
    scale: float | None = option(
        None, "sharpness s of softmax(sqrt(s) w C'k); none: 1", low=0.0, high=1e4, since=2
    )

    @property
    def formula(self) -> str:
        return rf"\mathrm{{softmax}}(w \circ C^\top {root_before(self.scale)}k)"

    def own_scale(self, key_dim: int) -> float:
        return 1.0 if self.scale is None else self.scale

    def scale_start(self, spec: Spec) -> float:
        return 64.0

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        frequencies = self.sharpened(x, params) @ _cosines(x.shape[-1]).to(x)
        return torch.softmax(frequencies * params["diagonal"].to(x.dtype)[:, None], -1)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"diagonal": drawn((key_dim,), self.seed).repeat(heads, 1)}

    def width(self, key_dim: int) -> int:
        return key_dim


def _cosines(size: int) -> Tensor:
    """Returns the orthonormal cosine transform (DCT-II), frequencies by places, [K, K]."""
    place = torch.arange(size, dtype=torch.float64)
    waves = torch.cos(math.pi / size * place[:, None] * (place + 0.5)) * math.sqrt(2 / size)
    waves[0] = size**-0.5
    return waves
