"""A step whose keys to erase and to write are learned variants of the key: RWKV-7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Signal, Stream
from ..fates import Fate
from ..functions import LinearModel, Memory
from ..letters import Letters
from ..newton import PairLoss
from ..story import Story, signal, target
from ..terms import ATOM, SUM, Form, Let, Letter, Term, circle, outer
from .structure import Features, RankOneSteps, Steps, WrittenSteps, weighed_key, weighed_pair

if TYPE_CHECKING:
    from ..spec import Spec

TINY = 1e-12  # length of a key below which it is not stretched to 1
RATE = Signal(
    "rate", "feature", "sigmoid", 0.5, 0.01, 1.0, "learning rate of each feature, in context"
)


@dataclass(frozen=True)
class GeneralizedDelta(WrittenSteps, RankOneSteps):
    r"""A step that erases along one key and writes along another, a rate per channel: RWKV-7.

    $$S_t = a_t S_{t-1} - b_t\, (r_t \circ \hat\kappa_t) (S_{t-1}^\top \hat\kappa_t)^\top
    + b_t\, \tilde k_t v_t^\top, \qquad
    \hat\kappa = \frac{\xi \circ \phi(k)}{|\xi \circ \phi(k)|}, \quad
    \tilde k = \phi(k) \circ (1 + (r_t - 1) \circ \alpha)$$

    What is erased is what the memory before forgetting holds along $\hat\kappa$, a unit key of its
    own; what is written grows with the rate as far as $\alpha$ says. `SGD` on the undecayed memory
    where $\xi$, $r$ and $\alpha$ are 1 and the key has length 1. Learned: $\xi$ and $\alpha$, one
    number per head and channel. Signal ``rate``: $r_t$, per channel.

    Reference: RWKV-7 "Goose" with Expressive Dynamic State Evolution (Peng et al., 2025)
    https://arxiv.org/abs/2503.14456
    """

    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid
    writes: ClassVar[Fate] = Fate.ANYWHERE

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (RATE,)

    @property
    def reads_undecayed(self) -> bool:
        return True

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        ramp = 0.71 - 0.1 * torch.linspace(0.0, 1.0, heads * key_dim)
        return {
            "stretch": ramp.view(heads, key_dim).requires_grad_(),
            "mix": torch.full((heads, key_dim), 1.02).requires_grad_(),
        }

    def objection(self, spec: Spec) -> str | None:
        if reason := super().objection(spec):
            return reason
        model = spec.function
        assert isinstance(model, LinearModel)
        if (model.width(2), model.width(3)) == (2, 3):
            return None
        return (
            f"{self.name} learns one number per key channel; the features of {model} are not as "
            "many as the channels of the key: take a map that keeps their number."
        )

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        rate, weight = signals["rate"], signals["importance"]
        erased = signals["stretch"] * weighed_key(loss, memory)
        erased = erased / torch.linalg.vector_norm(erased).clamp_min(TINY)
        mixed = 1 + (rate - 1) * signals["mix"]
        written = mixed[:, None] * weighed_pair(loss, memory)
        gone = weight * torch.outer(rate * erased, erased @ previous["S"])
        return {"S": memory["S"] - gone + written}, state

    def steps(self, x: Stream, phi: Features, importance: Tensor | None, own: Params) -> Steps:
        key, rate = phi(x.k), x.signals["rate"]
        stretch, mix = (own[name].to(key)[:, None] for name in ("stretch", "mix"))
        erased = F.normalize(stretch * key, dim=-1, eps=TINY)
        write, erase = key * (1 + (rate - 1) * mix), rate * erased
        if importance is not None:
            write, erase = importance * write, importance * erase
        return Steps(erased, write, x.v, erase)

    def story(self, on: Letters) -> Story:
        phi, rate = on.features(), signal("r_t", "rate")
        stretched = circle(Letter("stretch", r"\xi"), phi)
        erased = Let(r"\hat\kappa_t", _unit(stretched))
        mixed = 1 + circle(Letter("mix", r"\alpha"), rate - 1)
        written = outer(circle(mixed, phi), target("t"))
        said = on.function.answer_features(on.before, erased)
        return on.moved(on.brought * (written - outer(circle(rate, erased), said)))


def _unit(x: Term) -> Term:
    return Form(r"\frac{{{0}}}{{|{0}|}}", _normalized, (x,), (SUM,), ATOM)


def _normalized(x: Tensor) -> Tensor:
    return F.normalize(x, dim=0)
