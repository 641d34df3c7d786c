"""Steps on the newest pair with gates per channel of key and value: GDN-2 and FG2-GDN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Signal, Stream
from ..fates import Fate
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Story, signal, target
from ..terms import SUM, Form, Term, circle, outer
from .rank_one import bounded
from .structure import Features, RankOneSteps, Steps, WrittenSteps, weighed_key, weighed_pair

ERASE = Signal(
    "erase", "feature", "sigmoid", 0.5, 0.01, 1.0, "share of each feature that is asked and erased",
    by_curvature=True,
)  # fmt: skip
WRITE = Signal(
    "write", "value", "sigmoid", 0.5, 0.01, 1.0, "share of each value that is written",
    by_curvature=True,
)  # fmt: skip
TINY = 1e-30  # below a root, which has no slope at 0


@dataclass(frozen=True)
class EraseWrite(WrittenSteps, RankOneSteps):
    r"""A step whose gates to erase and to write are apart, one per channel: Gated DeltaNet-2.

    $$S_t = a_t S_{t-1} + b_t\, \phi(k_t) \big(w_t \circ v_t
    - a_t S_{t-1}^\top (e_t \circ \phi(k_t))\big)^\top$$

    Where all of e and w are one number it is `SGD` at that step. What is erased need not be
    written anew, and the memory may be asked about a part of the key. Signals: ``erase`` ($e_t$,
    per feature) and ``write`` ($w_t$, per channel of the value).

    Args:
        link: what bounds the gate that erases: ``sigmoid`` by 1, ``twice_sigmoid`` by 2.

    Reference: Gated DeltaNet-2: Decoupling Erase and Write in Linear Attention (Hatamizadeh, Choi
    and Kautz, 2026) https://arxiv.org/abs/2605.22791
    """

    link: str = option(
        "sigmoid", "what bounds the gate that erases", choices=("sigmoid", "twice_sigmoid")
    )
    linear_in_values: ClassVar[bool] = False  # another map for each channel of the value

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (bounded(ERASE, self.link), WRITE)

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        key = weighed_key(loss, memory)
        asked = signals["erase"] * key / signals["importance"]
        written = weighed_pair(loss, memory) * signals["write"]
        return {"S": memory["S"] + written - torch.outer(key, asked @ memory["S"])}, state

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        key = phi(x.k)
        write = key if importance is None else importance * key
        return Steps(x.signals["erase"] * key, write, _gated(x.signals["write"], x.v))

    def story(self, on: Letters) -> Story:
        phi, at = on.features(), on.decayed_before
        said = on.function.answer_features(at, circle(signal("e_t", "erase"), phi))
        wanted = circle(signal("w_t", "write"), target("t"))
        return on.moved(on.brought * outer(phi, wanted - said))


@dataclass(frozen=True)
class ChannelSGD(WrittenSteps, RankOneSteps):
    r"""A gradient step with a size per channel of the key and of the value: FG2-GDN.

    $$\tilde k_t = \sqrt{e_t} \circ \phi(k_t), \quad \tilde v_t = \sqrt{w_t} \circ v_t, \qquad
    S_t = a_t S_{t-1} + b_t\, \tilde k_t \big(\tilde v_t - a_t S_{t-1}^\top \tilde k_t\big)^\top$$

    The sizes stand on both sides of the key, so that the step stays symmetric and never lengthens
    the memory of unit keys; `SGD` where all are one number. Signals: ``erase`` ($e_t$, per
    feature) and ``write`` ($w_t$, per channel of the value).

    Reference: FG2-GDN: Enhancing Long-Context Gated Delta Networks with Doubly Fine-Grained
    Control (Sun et al., 2026) https://arxiv.org/abs/2604.19021
    """

    linear_in_values: ClassVar[bool] = False  # another map for each channel of the value
    writes: ClassVar[Fate] = Fate.ANYWHERE
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (ERASE, WRITE)

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        rows, columns = (_root(signals[name]) for name in ("erase", "write"))
        weight = signals["importance"]
        key = rows * weighed_key(loss, memory) / weight
        written = rows[:, None] * weighed_pair(loss, memory) * columns
        return {"S": memory["S"] + written - weight * torch.outer(key, key @ memory["S"])}, state

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        key = _root(x.signals["erase"]) * phi(x.k)
        write = key if importance is None else importance * key
        return Steps(key, write, _gated(_root(x.signals["write"]), x.v))

    def story(self, on: Letters) -> Story:
        key = circle(_rooted(signal("e_t", "erase")), on.features())
        wanted = circle(_rooted(signal("w_t", "write")), target("t"))
        said = on.function.answer_features(on.decayed_before, key)
        return on.moved(on.brought * outer(key, wanted - said))


def _gated(gate: Tensor, v: Tensor) -> Tensor:
    """Returns gated values; a column of ones beside them, of a read-out that divides, stays."""
    gated = gate * v[..., : gate.shape[-1]]
    return torch.cat([gated, v[..., gate.shape[-1] :]], -1)


def _root(x: Tensor) -> Tensor:
    return (x + TINY).sqrt()


def _rooted(x: Term) -> Term:
    return Form(r"\sqrt{{{0}}}", torch.sqrt, (x,), (SUM,))
