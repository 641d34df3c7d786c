"""A step that asks the memory about a share of the key: Comba."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Signal, Stream
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..story import Story, signal, target
from ..terms import SUM, Form, Letter, outer
from .rank_one import STEP
from .structure import Features, RankOneSteps, Steps, WrittenSteps, weighed_key, weighed_pair


@dataclass(frozen=True)
class ClosedLoop(WrittenSteps, RankOneSteps):
    r"""A step that feeds a learned share of the memory's answer back: Comba.

    $$S_t = a_t S_{t-1} + \beta_t b_t\, \phi(k_t) \big(v_t
    - \sigma(d)\, a_t S_{t-1}^\top \phi(k_t)\big)^\top$$

    Between `Hebbian`, which feeds nothing back, and `SGD`, which feeds back all of it. Learned: d,
    one number per head. Signal ``step``: $\beta_t$.

    Reference: Comba: Improving Bilinear RNNs with Closed-loop Control (Hu et al., 2025)
    https://arxiv.org/abs/2506.02475
    """

    each_feature: ClassVar[bool] = False
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (STEP,)

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        return {"feedback": torch.ones(heads).requires_grad_()}

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        key = weighed_key(loss, memory)
        share = torch.sigmoid(signals["feedback"].to(key))
        said = (key / signals["importance"]) @ memory["S"]
        error = weighed_pair(loss, memory) - share * torch.outer(key, said)
        return {"S": memory["S"] + signals["step"] * error}, state

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        key, gain = phi(x.k), x.signals["step"]
        if importance is not None:
            gain = gain * importance
        share = torch.sigmoid(own["feedback"].to(key))[:, None, None]
        return Steps(share * key, gain * key, x.v)

    def story(self, on: Letters) -> Story:
        phi, rate = on.features(), signal(r"\beta_t", "step") * on.brought
        share = Form(r"\sigma({0})", torch.sigmoid, (Letter("feedback", "d"),), (SUM,))
        said = share * on.function.answer_features(on.decayed_before, phi)
        return on.moved(rate * outer(phi, target("t") - said))
