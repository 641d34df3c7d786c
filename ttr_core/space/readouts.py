"""How the output is read from the fitted function; its value at the query unless said otherwise."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from .functions import FeatureModel, LinearModel, Params
from .ingredient import Ingredient, option
from .optimizers import Hebbian, OneStep

if TYPE_CHECKING:
    from .spec import Spec


class Readout(Ingredient):
    """A way to read the memory."""

    family: ClassVar[str] = "readout"
    phrase: ClassVar[str] = "a readout"
    divides: ClassVar[bool] = False  # whether it needs the normalizer

    @abc.abstractmethod
    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        """Turns the memory's value at the query into the output, [..., V].

        Args:
            prediction: the fitted function at the query, [..., V].
            normalizer: what the same fit to the constant value 1 says there, [..., 1]; None for a
                readout that does not divide.
        """


@dataclass(frozen=True)
class Plain(Readout):
    r"""The fitted function at the query.

    $$y_t = m_t(q_t)$$
    """

    notation: ClassVar[str] = r"m_t(q_t)"

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        return prediction


@dataclass(frozen=True)
class Normalized(Readout):
    r"""The fitted function divided by what the same fit says of the constant value 1.

    $$y_t = \frac{S_t^\top \phi(q_t)}{f(z_t^\top \phi(q_t))}, \qquad
    z_t = \sum_{i \le t} \gamma_i^{(t)} \phi(k_i)$$

    Under positive features a weighted mean of the values: a constant fitted exactly under the
    kernel $\phi(q)^\top \phi(k)$. Under features of either sign $z_t^\top \phi(q_t)$ crosses zero;
    only ``abs1`` is safe then.

    Args:
        floor: f, what keeps the divisor from zero: $x + \epsilon$ (``eps``),
            $\max(x, \epsilon)$ (``clamp``) or $\max(|x|, 1)$ (``abs1``: mLSTM).
        eps: epsilon, in units of |phi|^2; ``abs1`` has none.

    Reference: Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention
    (Katharopoulos et al., 2020) https://arxiv.org/abs/2006.16236
    """

    divides: ClassVar[bool] = True
    notation: ClassVar[str] = r"S_t^\top \phi(q_t) / f(z_t^\top \phi(q_t))"

    floor: str = option("eps", "what keeps the divisor from zero", choices=("eps", "clamp", "abs1"))
    eps: float = option(1e-6, "added to the divisor, or its least value", low=0.0, high=1e3)

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        assert normalizer is not None
        if self.floor == "eps":
            return prediction / (normalizer + self.eps)
        if self.floor == "clamp":
            return prediction / normalizer.clamp_min(self.eps)
        return prediction / normalizer.abs().clamp_min(1.0)

    def divisor(self, total: str) -> str:
        """Returns f(total) in LaTeX."""
        factor, _, power = f"{self.eps:g}".partition("e")
        eps = (rf"{factor} \cdot 10^{{{int(power)}}}" if power else factor).removeprefix(
            r"1 \cdot "
        )
        if self.floor == "eps":
            return f"{total} + {eps}" if self.eps else total
        if self.floor == "clamp":
            return rf"\max({total}, {eps})"
        return rf"\max(|{total}|, 1)"

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.optimizer, (Hebbian, OneStep)):
            return (
                f"{self.name} divides by the sum of the weighted features, and the memory of "
                f"{spec.optimizer} is no such sum: it needs the optimizer Hebbian or OneStep."
            )
        if not isinstance(spec.function, FeatureModel):
            return f"{self.name} needs {FeatureModel.phrase}; {spec.function} is not."
        return super().objection(spec)


class ReadsBefore(Readout):
    """Trait: reads the memory before forgetting and the newest pair, and adds that pair itself."""

    phrase: ClassVar[str] = "a readout of the memory before the newest pair"

    @abc.abstractmethod
    def newest(self, q: Tensor, k: Tensor, params: Params) -> Tensor:
        """Returns the factor of the newest value in the output, [B, H, T, 1].

        Args:
            q: features of the queries, [B, H, T, F].
            k: features of each token's own key, [B, H, T, F].
            params: the readout's own tensors, head first.
        """


@dataclass(frozen=True)
class Bonus(ReadsBefore):
    r"""The memory before the newest pair, and that pair with a learned weight per feature: RWKV.

    $$y_t = S_{t-1}^\top \phi(q_t) + b_t \big(\phi(q_t)^\top (u \circ \phi(k_t))\big)\, v_t$$

    The pair before the newest is not yet decayed: a gate of this token acts from the next one on.
    Learned: u, one number per head and feature, of either sign.

    Reference: Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence (Peng et
    al., 2024) https://arxiv.org/abs/2404.05892

    Deviation: u starts as the first layer's at any depth.
    """

    notation: ClassVar[str] = (
        r"S_{t-1}^\top \phi(q_t) + b_t (\phi(q_t)^\top (u \circ \phi(k_t))) v_t"
    )

    def __call__(self, prediction: Tensor, normalizer: Tensor | None) -> Tensor:
        return prediction

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        channel = torch.arange(heads * key_dim)
        start = 0.1 * ((channel + 1) % 3 - 1)
        return {"u": start.view(heads, key_dim).float().requires_grad_()}

    def newest(self, q: Tensor, k: Tensor, params: Params) -> Tensor:
        return (q * params["u"][:, None] * k).sum(-1, keepdim=True)

    def objection(self, spec: Spec) -> str | None:
        if not isinstance(spec.optimizer, Hebbian):
            return (
                f"{self.name} adds the newest pair to a sum of the older ones, and the memory of "
                f"{spec.optimizer} is no such sum: it needs the optimizer Hebbian."
            )
        model = spec.function
        if not isinstance(model, LinearModel):
            return f"{self.name} needs {LinearModel.phrase}; {model} is not."
        if (model.width(2), model.width(3)) != (2, 3):
            return (
                f"{self.name} learns one number per key channel; the features of {model} are not "
                "as many as the channels of the key: take a map that keeps their number."
            )
        return super().objection(spec)
