"""Softmax weights on values from which is taken what earlier pairs already say of them."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ...stream import Signal, Stream
from ..option import SHARPNESSES, option
from ..sharpness import Comparison
from ..terms import Letter, Term
from .base import SignedWeights

if TYPE_CHECKING:
    from ..spec import Spec

EPS = 1e-12  # added to |k|^2

STEP = Signal("step", "scalar", "sigmoid", 0.05, 0.01, 1.0, "share of the answer that is taken off")


class CorrectedWeights(SignedWeights, Comparison):
    r"""Trait: softmax over pseudo-values, $\gamma = A (I + B)^{-1}$ with B strictly causal.

    $$u_t = v_t - \sum_{i < t} B_{ti} u_i, \qquad y_t = \sum_{i \le t} A_{ti} u_i$$

    One triangular solve, after which keys and pseudo-values are all that is kept.
    """

    phrase: ClassVar[str] = "softmax over pseudo-values"
    scale: float | None

    @property
    def asks_query(self) -> bool:
        return True

    @property
    def negative(self) -> str:
        return "what later pairs take off"

    def scale_start(self, spec: Spec) -> float:
        return spec.function.local_scale

    def reads(self, q: Tensor, k: Tensor, params: Params) -> Tensor:
        """Returns A for the last tokens, [B, H, Tq, T]."""
        logits = q @ k.mT * self.sharpness(q, params)
        return torch.softmax(logits.masked_fill(beyond(logits, 1), -math.inf), -1)

    @abc.abstractmethod
    def corrections(self, x: Stream, k: Tensor, params: Params) -> Tensor:
        """Returns B for the tokens of a stream, [B, H, t, T]; ``k`` are all keys up to them."""

    def matrix(self, x: Stream, params: Params) -> Tensor:
        taken, read = self.corrections(x, x.k, params), self.reads(x.q, x.k, params)
        gamma: Tensor = torch.linalg.solve_triangular(
            taken, read, upper=False, left=False, unitriangular=True
        )
        return gamma.unsqueeze(-1)


@dataclass(frozen=True)
class SelfCorrected(CorrectedWeights):
    r"""Softmax over errors: of each value, what softmax attention already answers to its key.

    $$\gamma = A\, (I + B)^{-1}, \qquad A = \mathrm{softmax}_{i \le t}(s\, q_t^\top k_i), \qquad
    B = \beta_t\, \mathrm{softmax}_{i < t}(s\, k_t^\top k_i)$$

    The delta rule for a memory that answers by attention. Signal ``step``: $\beta_t$, within
    (0, 1).

    Args:
        scale: s; None takes $1/\sqrt{K}$.

    Reference: Understanding Transformer from the Perspective of Associative Memory (Zhong et al.,
    2025) https://arxiv.org/abs/2505.19488
    """

    scale: float | None = option(
        None, "sharpness of the kernel; none: 1 / sqrt(K)", 1e-6, 1000.0, tune=SHARPNESSES
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid
    momentary: ClassVar[tuple[str, ...]] = ("step",)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP,)

    def written(self, primes: int = 0) -> Term:
        scale = r"\tfrac{1}{\sqrt K}" if self.scale is None else f"{self.scale:g}"
        where = (
            rf"A_{{ti}} = \mathrm{{softmax}}_{{i \le t}}({scale}\, q_t^\top k_i),\quad "
            rf"B_{{ti}} = \beta_t\, \mathrm{{softmax}}_{{i < t}}({scale}\, k_t^\top k_i)"
        )
        return Letter("gamma", r"[A (I + B)^{-1}]_{ti}", ("t", "i"), where)

    def corrections(self, x: Stream, k: Tensor, params: Params) -> Tensor:
        logits = x.k @ k.mT * self.sharpness(x.k, params)
        later = beyond(logits, 0)
        top = logits.detach().masked_fill(later, -math.inf).amax(-1, keepdim=True)
        top = torch.where(top.isfinite(), top, 0.0)  # of the first token, which has none before
        raised = (logits - top).masked_fill(later, -math.inf).exp()
        return x.signals["step"] * raised / (raised.sum(-1, keepdim=True) + later.all(-1)[:, None])


@dataclass(frozen=True)
class Decorrelated(CorrectedWeights):
    r"""Softmax over values that a triangular kernel of the keys has told apart.

    $$\gamma = A\, P^{-1}, \qquad A = \mathrm{softmax}_{i \le t}(s\, q_t^\top k_i), \qquad
    P_{ti} = \exp\big(\varsigma (\hat k_t^\top \hat k_i - 1)\big) \ (i \le t)$$

    The pseudo-values $u = P^{-1} v$ are the errors of the kernel delta rule with whole steps, the
    memory of `Kernel` under `NLMS` on unit keys $\hat k$; what asks it is softmax attention.

    Args:
        scale: s, of queries with keys; None takes $1/\sqrt{K}$.
        spread: $\varsigma$, of keys with keys, which are of length 1 there; None takes $\sqrt K$.

    Reference: LUCID: Attention with Preconditioned Representations (Duvvuri et al., 2026)
    https://arxiv.org/abs/2602.10410
    """

    scale: float | None = option(
        None, "sharpness of queries with keys; none: 1 / sqrt(K)", 1e-6, 1e3, tune=SHARPNESSES
    )
    spread: float | None = option(None, "sharpness of keys with keys; none: sqrt(K)", 1e-6, 1e3)
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    def written(self, primes: int = 0) -> Term:
        scale = r"\tfrac{1}{\sqrt K}" if self.scale is None else f"{self.scale:g}"
        spread = r"\sqrt{K}" if self.spread is None else f"{self.spread:g}"
        where = (
            rf"A_{{ti}} = \mathrm{{softmax}}_{{i \le t}}({scale}\, q_t^\top k_i),\quad "
            rf"P_{{ti}} = \exp({spread}\, \hat k_t^\top \hat k_i - {spread})"
        )
        return Letter("gamma", r"[A P^{-1}]_{ti}", ("t", "i"), where)

    def corrections(self, x: Stream, k: Tensor, params: Params) -> Tensor:
        new, every = (z * (z.square().sum(-1, keepdim=True) + EPS).rsqrt() for z in (x.k, k))
        spread = k.shape[-1] ** 0.5 if self.spread is None else self.spread
        logits = spread * (new @ every.mT - 1)
        return logits.masked_fill(beyond(logits, 0), -math.inf).exp()


def beyond(scores: Tensor, own: int) -> Tensor:
    """Returns where a pair is later than the last tokens' own, [t, T]; with 0 their own, too."""
    new, every = scores.shape[-2:]
    ones = torch.ones(new, every, dtype=torch.bool, device=scores.device)
    return ones.triu(every - new + own)
