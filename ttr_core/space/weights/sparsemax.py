"""Weights of which most are nothing: softmax's projection without the exponential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Stream
from ..fates import Fate
from ..option import SHARPNESSES, option
from ..sharpness import Comparison
from ..story import QUERY, key
from ..terms import Form, Let, Term, dot, stacked
from .base import Weights, future
from .kernels import scaled

if TYPE_CHECKING:
    from ..spec import Spec

OUT = -2.0  # below every threshold: the largest logit is put at 0, and the threshold from -1 on


@dataclass(frozen=True)
class Sparsemax(Weights, Comparison):
    r"""Pairs count by how far their match rises above a threshold, those below it not at all.

    $$\gamma_i^{(t)} = \max(s\, q_t^\top k_i - \tau_t, 0), \qquad
    \tau_t \text{ such that } \sum_{i \le t} \gamma_i^{(t)} = 1$$

    The point of the simplex nearest to the logits, where softmax is that of largest entropy beside
    them. As the weights sum to one, a constant's curvature is one and `OneStep` from zero arrives
    at its exact fit. The threshold follows all pairs, so that these weights multiply no others.

    Args:
        scale: s; None takes $1/\sqrt{K}$. Logits that are 1 apart already leave the lesser out.

    Reference: From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification
    (Martins and Astudillo, 2016) https://arxiv.org/abs/1602.02068
    """

    scale: float | None = option(
        None, "sharpness of the match; none: 1 / sqrt(K)", 1e-6, 1000.0, tune=SHARPNESSES
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def forgetting(self) -> tuple[Fate, ...]:
        return (Fate.QUERY_SOME,)

    def written(self, primes: int = 0) -> Term:
        logit = scaled(self.scale, dot(QUERY, key("i")))
        threshold = Let(r"\tau_t", Form(r"\tau({0})", _threshold, (stacked(logit),)))
        return Form(r"\max({0} - {1}, 0)", _above, (logit, threshold))

    def scale_start(self, spec: Spec) -> float:
        return spec.function.local_scale

    def matrix(self, x: Stream, params: Params) -> Tensor:
        logits, later = x.q @ x.k.mT * self.sharpness(x.q, params), future(x)
        top = logits.detach().masked_fill(later, -torch.inf).amax(-1, keepdim=True)
        logits = (logits - top).masked_fill(later, OUT)
        return (logits - threshold(logits)).clamp_min(0.0)[..., None]


def threshold(logits: Tensor) -> Tensor:
    """Returns tau, [..., 1]: what is above it sums to one."""
    with torch.no_grad():
        ordered = logits.sort(-1, descending=True).values
        count = torch.arange(1, logits.shape[-1] + 1, device=logits.device)
        inside = 1 + count * ordered > ordered.cumsum(-1)
        least = ordered.masked_fill(~inside, torch.inf).amin(-1, keepdim=True)
        support = logits >= least
    above = torch.where(support, logits, 0.0).sum(-1, keepdim=True)
    return (above - 1) / support.sum(-1, keepdim=True)


def _threshold(logits: Tensor) -> Tensor:
    return threshold(logits)[0]


def _above(logit: Tensor, least: Tensor) -> Tensor:
    return (logit - least).clamp_min(0.0)
