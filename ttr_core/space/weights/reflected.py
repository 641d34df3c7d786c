"""Weights that compare a query with a key through the reflections between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..option import SHARPNESSES, option
from ..sharpness import Comparison
from ..story import QUERY, key
from ..terms import ATOM, PRODUCT, Form, Index, Letter, Term
from .base import PositiveWeights, future
from .kernels import scaled

if TYPE_CHECKING:
    from ..spec import Spec

EPS = 1e-12  # added to |w|^2
BLOCK = 64  # keys at a time

ALONG = Signal(
    "turn_key", "key", "identity", 0.0, -1.0, 1.0, "direction along which a token turns the past"
)
TURN = Signal(
    "turn", "scalar", "twice_sigmoid", 0.05, 0.0, 2.0, "how far: 1 projects it out, 2 reflects it"
)
"""Near 0 at first: were a direction projected out at each token, little of an old key were left."""


@dataclass(frozen=True)
class Reflected(PositiveWeights, Comparison):
    r"""Pairs count by how well their key matches once every token since has turned it.

    $$\gamma_i^{(t)} = \exp\big(s\, q_t^\top H_t H_{t-1} \cdots H_{i+1} k_i\big), \qquad
    H_j = I - \beta_j w_j w_j^\top, \quad |w_j| = 1$$

    The transitions of the delta rule in place of rotary ones: positions that the content makes, and
    that track states. Without turns it is `ExpKernel`, up to a factor that all pairs share; times
    `Gate` it is the paper's PaTH-FoX. Signals: ``turn_key`` ($w_j$, of any length) and ``turn``
    ($\beta_j$, within (0, 2)).

    Args:
        scale: s; None takes $1/\sqrt{K}$.

    Reference: PaTH Attention: Position Encoding via Accumulating Householder Transformations (Yang
    et al., 2025) https://arxiv.org/abs/2505.16381
    """

    scale: float | None = option(
        None, "sharpness of the kernel; none: 1 / sqrt(K)", 1e-6, 1000.0, tune=SHARPNESSES
    )
    revision: ClassVar[int] = 2  # turns started at 1
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (ALONG, TURN)

    @property
    def reads_past(self) -> bool:
        return True

    def written(self, primes: int = 0) -> Term:
        where = r"H_j = I - \beta_j w_j w_j^\top / (|w_j|^2 + 10^{-12})"
        along, turn = Letter("turn_key", "H", where=where), Letter("turn", "")
        pattern = r"{0}^\top {2}_t {2}_{{t-1}} \cdots {2}_{{i+1}} {1}"
        arguments = (QUERY, key("i"), along, turn, Index("i"), Index("t"))
        match = Form(pattern, _matched, arguments, (ATOM,) * 6, PRODUCT)
        return Form(r"\exp({0})", torch.exp, (scaled(self.scale, match),))

    def scale_start(self, spec: Spec) -> float:
        return spec.function.local_scale

    def log_matrix(self, x: Stream, params: Params) -> Tensor:
        w, beta = x.signals["turn_key"], x.signals["turn"]
        w = w * (w.square().sum(-1, keepdim=True) + EPS).rsqrt()
        q, earlier, blocks = x.q, ~future(x), []
        parts = (z.split(BLOCK, 2) for z in (x.k, w, beta))
        masks = earlier.split(BLOCK, -1)
        for k, along, turn, seen in reversed([*zip(*parts, masks, strict=True)]):
            logits, q = _turned(q, k, along, turn, seen)
            blocks.append(logits)
        logits = torch.cat(blocks[::-1], -1) * self.sharpness(x.q, params)
        return logits.masked_fill(~earlier, -math.inf)[..., None]


def _turned(q: Tensor, k: Tensor, w: Tensor, beta: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the products of queries with a block of keys, and the queries before the block.

    The products of all its spans at once: $H_t \cdots H_{i+1} = I - W^\top (I + L)^{-1}
    \mathrm{Diag}(\beta) W$ over a span, L below the diagonal of $\mathrm{Diag}(\beta) W W^\top$,
    for the inverse of a span is the span of the inverse.

    Args:
        q: queries, turned by all later blocks, [B, H, Tq, K].
        k: the keys of the block, [B, H, C, K].
        w: unit vectors, [B, H, C, K].
        beta: how far each turns, [B, H, C, 1].
        seen: which tokens of the block each query comes after, itself among them, [Tq, C].
    """
    crossed = torch.linalg.solve_triangular(
        beta * (w @ w.mT), (q @ w.mT) * seen, upper=False, left=False, unitriangular=True
    )
    return q @ k.mT - crossed @ (beta * (w @ k.mT)).tril(-1), q - crossed @ (beta * w)


def _matched(q: Tensor, k: Tensor, w: Tensor, beta: Tensor, i: int, t: int) -> Tensor:
    for j in range(i, t):  # tokens i + 1 to t, counted from 0
        k = k - beta[j] * w[j] * (w[j] @ k) / (w[j] @ w[j] + EPS)
    return q @ k
