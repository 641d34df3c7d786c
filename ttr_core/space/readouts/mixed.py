"""The readout between what a fit says and what the sum of the pairs says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ...stream import Signal
from ..functions import LinearModel
from ..ingredient import having
from ..letters import Letters
from ..optimizers import Iterations, RidgeFit
from ..story import signal
from ..terms import Term
from .base import Mixes

if TYPE_CHECKING:
    from ..spec import Spec

MIX = Signal("mix", "scalar", "sigmoid", 0.5, 0.01, 1.0, "share of the fit in what is read")


@dataclass(frozen=True)
class Mixed(Mixes):
    r"""A share of the fit, the rest of the plain sum of the pairs: Gated KalmaNet.

    $$y_t = \alpha_t\, S_t^\top \phi(q_t) + (1 - \alpha_t)\, R_t^\top \phi(q_t), \qquad
    R_t = \sum_{i \le t} \gamma_i^{(t)} \phi(k_i) v_i^\top$$

    The sum, linear attention, is read with the query q + alpha (x - q), where x solves the normal
    equations for q. Signal ``mix``: $\alpha_t$, within (0, 1).

    Reference: Gated KalmaNet: A Fading Memory Layer Through Test-Time Ridge Regression (Peng et
    al., 2025) https://arxiv.org/abs/2511.21016
    """

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (MIX,)

    def share(self, signals: Mapping[str, Tensor]) -> Tensor:
        return signals["mix"]

    def written(self, on: Letters, answer: Term) -> Term:
        mix = signal(r"\alpha_t", "mix")
        return mix * answer + (1 - mix) * on.function.answer_features(on.sum, on.query)

    def objection(self, spec: Spec) -> str | None:
        fits = isinstance(spec.optimizer, (RidgeFit, Iterations))
        if not fits or not isinstance(spec.function, LinearModel):
            return (
                f"{self.name} mixes a ridge fit with the sum of the pairs; {spec.optimizer} on "
                f"{spec.function} makes none: it needs {LinearModel.phrase}, and the optimizer "
                f"{having(RidgeFit)} or {having(Iterations)}."
            )
        return super().objection(spec)
