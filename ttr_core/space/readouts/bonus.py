"""The readout of RWKV: the memory before the newest pair, and a bonus for that pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...named import Params
from ..functions import LinearModel
from ..ingredient import having
from ..letters import Letters
from ..optimizers import Incremental, Sum
from ..story import QUERY, target
from ..terms import Letter, Term, circle, dot
from .base import ReadsBefore

if TYPE_CHECKING:
    from ..spec import Spec


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

    def written(self, on: Letters, answer: Term) -> Term:
        own = dot(on.query, circle(Letter("u", "u"), on.features()))
        return on.function.written_answer(on.before, QUERY) + on.brought * own * target("t")

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        channel = torch.arange(heads * key_dim)
        start = 0.1 * ((channel + 1) % 3 - 1)
        return {"u": start.view(heads, key_dim).float().requires_grad_()}

    def newest(self, q: Tensor, k: Tensor, params: Params) -> Tensor:
        return (q * params["u"][:, None] * k).sum(-1, keepdim=True)

    def objection(self, spec: Spec) -> str | None:
        if not (isinstance(spec.optimizer, Sum) and isinstance(spec.optimizer, Incremental)):
            return (
                f"{self.name} adds the newest pair to a running sum of the older ones, and "
                f"{spec.optimizer} keeps none: it needs {Sum.phrase}, added one by one, "
                f"{having(Sum, Incremental)}."
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
