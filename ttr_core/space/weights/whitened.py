"""Weights that compare a whitened key with the query."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Stream
from ...systems import solve_positive
from ..option import RIDGES, SHARPNESSES, option
from ..sharpness import Comparison
from ..story import QUERY, key
from ..terms import PRODUCT, SUM, Form, Index, Let, Letter, Numeral, Term, Value, outer, total
from .base import PositiveWeights, future

if TYPE_CHECKING:
    from ..spec import Spec

BLOCK = 16  # queries at a time
SAFE_RIDGE = 0.1  # below it the moment is inverted in float64


@dataclass(frozen=True)
class Whitened(PositiveWeights, Comparison):
    r"""Pairs count by how well their key matches the query once the keys seen are whitened.

    $$\gamma_i^{(t)} = \exp\big(s\, k_i^\top (H_t + \lambda I)^{-1} q_t\big), \qquad
    H_t = \tfrac1t \sum_{i \le t} k_i k_i^\top$$

    Directions that many keys share count less, so that correlated keys are told apart. With a
    constant fitted to them this is sigma-Intention. Without keys in common it is `ExpKernel` with
    the scale divided by the ridge.

    Args:
        ridge: lambda, added to the moment, in units of |k|^2 (of its mean or of its sum).
        scale: s.
        moment: H_t, the ``mean`` over the keys seen, or their ``sum``, under which the logits
            shrink as 1/t and attention drifts to uniform.

    Reference: Exploring the Space of Key-Value-Query Models with Intention (Garnelo and
    Czarnecki, 2023) https://arxiv.org/abs/2305.10203
    """

    ridge: float = option(
        0.01, "added to the moment of the keys, in units of |k|^2", 1e-6, 1e6, tune=RIDGES
    )
    scale: float = option(1.0, "sharpness of the kernel", 0.0, 1000.0, tune=SHARPNESSES)
    moment: str = option("mean", "what whitens", choices=("mean", "sum"))
    examples: ClassVar[tuple[dict[str, object], ...]] = ()
    scale_range: ClassVar[tuple[float, float]] = (1e-3, 100.0)

    def scale_start(self, spec: Spec) -> float:
        return self.scale

    def written(self, primes: int = 0) -> Term:
        moment = total(outer(key("i"), key("i")))
        if self.moment == "mean":
            moment = Form(r"\tfrac{{1}}{{{0}}} {1}", _mean, (Index("t"), moment), (SUM, PRODUCT))
        ridge = Numeral(self.ridge) * Letter("eye.K", "I")
        pattern = r"{0}^\top ({1})^{{-1}} {2}"
        arguments = (key("i"), Let("H_t", moment) + ridge, QUERY)
        whitened = Form(pattern, _whitened, arguments, holds=PRODUCT)
        return Form(r"\exp({0})", torch.exp, (Numeral(self.scale) * whitened,))

    @property
    def reads_past(self) -> bool:
        return True

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        q, k = (z.double() if self.ridge < SAFE_RIDGE else z for z in (x.q, x.k))
        past = k.shape[2] - q.shape[2]
        moment = k[:, :, :past].mT @ k[:, :, :past]
        eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        seen = torch.arange(past + 1, k.shape[2] + 1, dtype=k.dtype, device=k.device)
        each = seen if self.moment == "mean" else torch.ones_like(seen)
        whitened = []
        blocks = zip(*(z.split(BLOCK, -2) for z in (q, k[:, :, past:], each[:, None])), strict=True)
        for queries, keys, count in blocks:
            outer = keys[..., :, None] * keys[..., None, :]  # (B H C K K)
            moments = moment[:, :, None] + outer.cumsum(2)
            matrix = moments / count[..., None] + self.ridge * eye
            whitened.append(solve_positive(matrix, queries[..., None])[0].squeeze(-1))
            moment = moments[:, :, -1]
        logits = torch.cat(whitened, 2) @ k.mT * self.sharpness(q, params)
        return logits.to(x.k.dtype).masked_fill(future(x), -math.inf)[..., None]


def _mean(count: int, moment: Tensor) -> Tensor:
    return moment / count


def _whitened(k: Tensor, matrix: Tensor, q: Tensor) -> Value:
    return k @ torch.linalg.solve(matrix, q)
