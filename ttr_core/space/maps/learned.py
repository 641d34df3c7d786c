"""Feature maps that are learned with the layer, one per head, the same for queries and keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..option import option
from ..sharpness import Comparison
from .base import FeatureMap, KernelMap
from .polynomial import monomials, packed

if TYPE_CHECKING:
    from ..spec import Spec


def _start(shape: tuple[int, ...], seed: int, size: float) -> Tensor:
    """Returns normal numbers of this standard deviation that are to be learned."""
    generator = torch.Generator().manual_seed(seed)
    return (size * torch.randn(shape, generator=generator)).requires_grad_()


def _affine(x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
    """Returns W x + b, each head by its own."""
    return x @ params["W"].to(x.dtype).mT + params["b"].to(x.dtype)[:, None]


@dataclass(frozen=True)
class T2R(FeatureMap):
    r"""A learned layer of rectifiers (transformer-to-RNN).

    $$\phi(k) = \max(W k + b, 0), \qquad W \in \mathbb{R}^{F \times K}$$

    Never negative, but all features of a key may be zero: divide with the floor ``clamp``.

    Args:
        features: F, rectifiers per head.
        seed: of the start of W; b starts at zero.

    Reference: Finetuning Pretrained Transformers into RNNs (Kasai et al., 2021)
    https://arxiv.org/abs/2103.13076
    """

    name: ClassVar[str] = "t2r"
    notation: ClassVar[str] = r"\max(W k + b, 0)"

    features: int = option(32, "learned rectifiers per head: F", low=1, high=1 << 13)
    seed: int = option(0, "seed of the start of W", low=0, high=2**31 - 1)

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        return F.relu(_affine(x, params))

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {
            "W": _start((heads, self.features, key_dim), self.seed, key_dim**-0.5),
            "b": torch.zeros(heads, self.features, requires_grad=True),
        }

    def width(self, key_dim: int) -> int:
        return self.features


@dataclass(frozen=True)
class Hedgehog(FeatureMap):
    r"""Two softmaxes, over a learned map of the key and over its opposite.

    $$\phi(k) = \begin{bmatrix} \mathrm{softmax}(y) \\ \mathrm{softmax}(-y) \end{bmatrix}, \qquad
    y = W k + b$$

    Each half of the 2 K features sums to 1: it cannot overflow, and a key whose entries are all
    positive or all negative keeps both halves. W starts as the identity, b at zero.

    Reference: The Hedgehog & the Porcupine: Expressive Linear Attentions with Softmax Mimicry
    (Zhang et al., 2024) https://arxiv.org/abs/2402.04347

    Deviation: one W for queries and keys; no distillation from a softmax layer. Exponentials are
    divided by their sum, as in its authors' later code; flash-linear-attention takes one softmax
    over [2 y, -2 y].
    """

    name: ClassVar[str] = "hedgehog"
    revision: ClassVar[int] = 2  # it was one softmax over both halves
    notation: ClassVar[str] = r"[\mathrm{softmax}(y), \mathrm{softmax}(-y)],\ y = W k + b"

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        y = _affine(x, params)
        return torch.cat([y.softmax(-1), (-y).softmax(-1)], -1)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {
            "W": torch.eye(key_dim).repeat(heads, 1, 1).requires_grad_(),
            "b": torch.zeros(heads, key_dim, requires_grad=True),
        }

    def width(self, key_dim: int) -> int:
        return 2 * key_dim


@dataclass(frozen=True)
class Nystrom(FeatureMap, Comparison):
    r"""A Gaussian kernel compressed on learned inducing points.

    $$\phi(k) = L^{-1} \kappa(Z, k), \qquad L L^\top = \kappa(Z, Z) + \epsilon I, \qquad
    \kappa(z, k) = \exp\left(-\tfrac{s}{2} |z - k|^2\right)$$

    The kernel $\kappa(q, Z) (\kappa(Z, Z) + \epsilon I)^{-1} \kappa(Z, k)$ is the Nystrom
    approximation of $\kappa(q, k)$, good near the points Z. As Z belongs to the layer and not to
    the sequence, it is causal by construction. Use it where keys lie near few places: unit keys.

    Args:
        features: inducing points per head.
        scale: s, sharpness of the kernel; None takes $1/\sqrt{K}$.
        jitter: epsilon, which bounds the condition number by 1 + features / epsilon.
        seed: of the start of Z, which is normal with the norm of a unit key.

    Reference: Skyformer: Remodel Self-Attention with Gaussian Kernel and Nystrom Method (Chen et
    al., 2021) https://arxiv.org/abs/2111.00035

    Deviation: the paper samples its points from the queries and keys of the whole sequence, and
    inverts by six steps of an iteration.
    """

    name: ClassVar[str] = "nystrom"
    notation: ClassVar[str] = r"L^{-1} \kappa(Z, k),\ L L^\top = \kappa(Z, Z) + \epsilon I"

    features: int = option(64, "inducing points per head: F", low=1, high=1 << 11)
    scale: float | None = option(
        None, "sharpness s of the kernel; none: 1 / sqrt(K)", low=0.0, high=1000.0
    )
    jitter: float = option(0.1, "added to the diagonal of the kernel", low=1e-3, high=10.0)
    seed: int = option(0, "seed of the start of Z", low=0, high=2**31 - 1)
    scale_range: ClassVar[tuple[float, float]] = (0.01, 64.0)

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        points = params["Z"].to(x.dtype)
        own = self._kernel(points, points, params)
        ridge = self.jitter * torch.eye(self.features, dtype=x.dtype, device=x.device)
        factor = torch.linalg.cholesky(own + ridge)
        seen = self._kernel(x, points, params)
        features: Tensor = torch.linalg.solve_triangular(factor.mT, seen, upper=True, left=False)
        return features

    def scale_start(self, spec: Spec) -> float:
        return 4.0

    def _kernel(self, a: Tensor, b: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        squares = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :]
        return (self.sharpness(a, params) * (a @ b.mT - squares / 2)).exp()

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"Z": _start((heads, self.features, key_dim), self.seed, key_dim**-0.5)}

    def width(self, key_dim: int) -> int:
        return self.features


@dataclass(frozen=True)
class ReBased(KernelMap):
    r"""Squares of a normalized key with a learned gain and bias.

    $$\phi(k) = K^{-1/2} \big[y_i^2,\ \sqrt 2\, y_i y_j\big]_{i < j}, \qquad
    y = \gamma \circ \mathrm{LN}(k) + \beta, \qquad
    \phi(q)^\top \phi(k) = \tfrac1K (y_q^\top y_k)^2$$

    K (K + 1) / 2 features. The kernel is never negative and, unlike that of `Taylor2`, can be zero.

    Reference: Linear Transformers with Learnable Kernel Functions are Better In-Context Models
    (Aksenov et al., 2024) https://arxiv.org/abs/2402.10644

    Deviation: one gain and bias for queries and keys, and each head is normalized by itself (the
    authors' code has one each, over all heads jointly).
    """

    name: ClassVar[str] = "rebased"
    notation: ClassVar[str] = (
        r"K^{-1/2} [y_i^2, \sqrt 2\, y_i y_j]_{i < j},\ y = \gamma \circ \mathrm{LN}(k) + \beta"
    )

    def _scaled(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        gain, bias = (params[name].to(x.dtype)[:, None] for name in ("gamma", "beta"))
        return F.layer_norm(x, x.shape[-1:]) * gain + bias

    def __call__(self, x: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        pairs: Tensor = packed(self._scaled(x, params), 2) * x.shape[-1] ** -0.5
        return pairs

    def gram(self, a: Tensor, b: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        products = self._scaled(a, params) @ self._scaled(b, params).mT
        return products.square() / a.shape[-1]

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {
            "gamma": torch.ones(heads, key_dim, requires_grad=True),
            "beta": torch.zeros(heads, key_dim, requires_grad=True),
        }

    def width(self, key_dim: int) -> int:
        return monomials(key_dim, 2)
