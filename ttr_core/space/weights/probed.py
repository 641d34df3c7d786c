"""Softmax weights that a learned probe tilts."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..option import SHARPNESSES, option
from ..sharpness import Comparison
from ..story import QUERY, key, signal
from ..terms import ONE, SUM, Form, Let, Term, dot, mean_of, total
from .base import SignedWeights, future
from .kernels import scaled

if TYPE_CHECKING:
    from ..spec import Spec

PROBE = Signal(
    "probe", "key", "identity", 0.0, -1.0, 1.0, "direction along which the weights are tilted"
)


@dataclass(frozen=True)
class Probed(SignedWeights, Comparison):
    r"""Softmax weights, tilted along a direction that each token chooses.

    $$\gamma_i^{(t)} = p_i \big(1 - r_t^\top (k_i - \bar k_t)\big), \qquad
    p_i \propto \exp(s\, q_t^\top k_i), \quad \bar k_t = \sum_i p_i k_i$$

    A local line around the query answers with these weights: its fit under the same kernel has
    $r_t = -(C_t + \lambda I)^{-1} (q_t - \bar k_t)$, with $C_t$ the covariance of the keys, and one
    gradient step on its slope $r_t \propto \bar k_t - q_t$. Here the probe is projected and not
    solved for; at 0 it is softmax attention. They sum to one, and some may be negative. Signal
    ``probe``: $r_t$, K per token and head.

    Args:
        scale: s; None takes $1/\sqrt{K}$. The probe has none.

    Reference: Parallax (Zuo et al., 2026) https://arxiv.org/abs/2605.29157
    """

    scale: float | None = option(
        None, "sharpness of the kernel; none: 1 / sqrt(K)", 0.0, 1000.0, tune=SHARPNESSES
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid
    momentary: ClassVar[tuple[str, ...]] = ("probe",)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (PROBE,)

    @property
    def negative(self) -> str:
        return "what lies far along the probe"

    def written(self, primes: int = 0) -> Term:
        match = Form(r"\exp({0})", torch.exp, (scaled(self.scale, dot(QUERY, key("i"))),))
        share = Form(r"{0} \Big/ {1}", operator.truediv, (match, total(match)), holds=SUM)
        mean = Let(r"\bar k_t", mean_of(match, key("i")))
        return Let("p_i", share) * (ONE - dot(signal("r_t", "probe"), key("i") - mean))

    def scale_start(self, spec: Spec) -> float:
        return spec.function.local_scale

    def matrix(self, x: Stream, params: Params) -> Tensor:
        logits = x.q @ x.k.mT * self.sharpness(x.q, params)
        share = torch.softmax(logits.masked_fill(future(x), -math.inf), -1)
        along = x.signals["probe"][:, :, x.length - x.q.shape[2] :] @ x.k.mT
        mean = (share * along).sum(-1, keepdim=True)
        return (share * (1 + mean - along))[..., None]
