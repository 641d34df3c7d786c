"""Weights that break a stick from the newest pair back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...named import Params
from ...stream import Stream
from ..option import SHARPNESSES, option
from ..sharpness import Comparison
from ..story import QUERY, key
from ..terms import Form, Index, Let, Numeral, Term, dot, stacked
from .base import Weights
from .kernels import scaled

if TYPE_CHECKING:
    from ..spec import Spec


@dataclass(frozen=True)
class StickBreaking(Weights, Comparison):
    r"""Each pair, from the newest back, takes a share of what the newer ones have left.

    $$\gamma_i^{(t)} = \sigma(z_i) \prod_{i < l < t} (1 - \sigma(z_l)), \qquad
    z_l = s\, q_t^\top k_l - b \quad (i < t)$$

    Of two pairs whose keys match alike the newer has more: a sense of order without positions. The
    token's own pair has no part. What no pair takes is left, so that the weights sum to less than
    one, and a first token answers nothing: they are a sum's (`OneStep`), and no mean divides by
    them.

    With shares of a half each the newest few take all, and no gradient reaches a match that lies
    further back: an offset b leaves the stick to those that match.

    Args:
        scale: s; None takes $1/\sqrt{K}$.
        offset: b, so that a pair that neither matches nor not takes $\sigma(-b)$: of what is left,
            a half at 0, .018 at 4.

    Reference: Stick-breaking Attention (Tan et al., 2024) https://arxiv.org/abs/2410.17980
    """

    scale: float | None = option(
        None, "sharpness of the match; none: 1 / sqrt(K)", 1e-6, 1000.0, tune=SHARPNESSES
    )
    offset: float = option(
        0.0,
        "what is taken off each logit; of two pairs a match then takes more",
        0.0,
        32.0,
        since=2,
    )
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def fades(self) -> bool:
        return True

    def objection(self, spec: Spec) -> str | None:
        if not spec.optimizer.takes_signed:
            return (
                f"{self.name} gives the first token no pair, and {spec.optimizer} has no fit to "
                "none: it needs an optimizer that adds pairs up, OneStep."
            )
        return super().objection(spec)

    def written(self, primes: int = 0) -> Term:
        logit = Let("z_i", scaled(self.scale, dot(QUERY, key("i"))) - Numeral(self.offset))
        pattern = r"\mathbf{{1}}[{1} < {2}]\, \sigma({0}) \prod_{{i<l<t}} (1 - \sigma(z_l))"
        every = stacked(logit, bare=True)
        return Form(pattern, _share, (every, Index("i"), Index("t")))

    def scale_start(self, spec: Spec) -> float:
        return spec.function.local_scale

    def matrix(self, x: Stream, params: Params) -> Tensor:
        logits = x.q @ x.k.mT * self.sharpness(x.q, params) - self.offset
        queries, keys = logits.shape[-2:]
        ones = torch.ones(queries, keys, dtype=torch.bool, device=logits.device)
        earlier = ones.tril(keys - queries - 1)
        left = F.logsigmoid(-logits).masked_fill(~earlier, 0.0)
        after = F.pad(left[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1)
        share = (F.logsigmoid(logits) + after).exp()
        return share.masked_fill(~earlier, 0.0)[..., None]


def _share(logits: Tensor, i: int, t: int) -> Tensor:
    if i == t:
        return logits.new_zeros(())
    return logits[i - 1].sigmoid() * (1 - logits[i : t - 1].sigmoid()).prod()
